"""A disk that fills up and a disk that becomes read-only. Each is a file system mounted for the test, which needs root.

usage: disk_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from training_runs import TrainingTest, main


def mount(directory):
    return subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", directory],
                          capture_output=True, text=True, check=False)


def unmount(directory):
    subprocess.run(["umount", "--lazy", directory], check=True)


class DiskTest(TrainingTest):
    def setUp(self):
        super().setUp()
        self.disk = self.run_dir.parent / "disk"
        self.disk.mkdir()
        self.assertEqual(mount(self.disk).returncode, 0)
        self.addCleanup(unmount, self.disk)
        self.run_dir = self.disk / "run"

    def run_until_the_disk_fails(self, ranks, break_the_disk):
        """Returns the content of the older checkpoint and the program's error output."""
        self.pretrain(ranks, epochs=1000, max_steps=2)
        before = self.checkpoint(2).read_bytes()
        process = self.start(ranks, epochs=1000)
        self.wait_for_step(process, 3)
        break_the_disk()
        process.send_signal(signal.SIGUSR1)
        output, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, output + errors)
        self.assertEqual(len(re.findall(r"^simclr: error: .*", errors, re.MULTILINE)), 1, errors)
        self.assertEqual(self.checkpoint(2).read_bytes(), before)
        return errors

    def fill_disk(self):
        with open(self.disk / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass

    def assert_run_resumes(self, ranks):
        done = self.pretrain(ranks, epochs=1000, max_steps=4)
        self.assertIn("at step 2", done.stdout)
        self.assertEqual([row["step"] for row in self.rows()], [1, 2, 3, 4])

    def test_a_full_disk(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                shutil.rmtree(self.run_dir, ignore_errors=True)
                errors = self.run_until_the_disk_fails(ranks, self.fill_disk)
                self.assertIn("No space left", errors)
                self.assertEqual(sorted(os.listdir(self.run_dir / "checkpoints")), [self.checkpoint(2).name])
                (self.disk / "filler").unlink()
                self.assert_run_resumes(ranks)

    def test_a_full_disk_leaves_no_lock(self):
        for kept in (0, 1):  # with a new and with an existing run directory
            with self.subTest(kept=kept):
                self.fill_disk()
                for ranks in (1, 2):
                    done = self.pretrain(ranks, expect=2, max_steps=1 + kept)
                    self.assertIn(f"cannot create {self.run_dir}/lock: No space left on device", done.stderr)
                    self.assertFalse((self.run_dir / "lock").exists())
                    self.assertEqual(self.run_dir.exists(), bool(kept))
                (self.disk / "filler").unlink()
                self.pretrain(max_steps=1 + kept)

    def test_no_free_inodes(self):
        def use_all_inodes():
            self.remount(self.disk, "nr_inodes=24")
            try:
                for number in range(24):
                    (self.disk / f"empty{number}").touch()
            except OSError:
                return
            self.fail("the file system has more inodes than it was given")

        def free_inodes():
            for file in self.disk.glob("empty*"):
                file.unlink()

        reason = "No space left on device (no free inodes)"
        use_all_inodes()
        for ranks in (1, 2):
            self.assertIn(f"{self.run_dir}: {reason}", self.pretrain(ranks, expect=2, max_steps=1).stderr)
        free_inodes()
        self.pretrain(max_steps=1)
        use_all_inodes()
        self.assertIn(f"cannot create {self.run_dir}/lock: {reason}", self.pretrain(expect=2, max_steps=2).stderr)
        free_inodes()
        shutil.rmtree(self.run_dir)
        errors = self.run_until_the_disk_fails(2, use_all_inodes)
        self.assertIn(f"cannot create {self.run_dir}/", errors)
        self.assertIn(reason, errors)
        free_inodes()
        self.assert_run_resumes(2)

    def remount(self, directory, options):
        subprocess.run(["mount", "-o", f"remount,{options}", directory], check=True)

    def test_a_directory_that_turns_read_only(self):
        # A mount with open files cannot be made read-only, but a bind mount of the directory can.
        checkpoints = self.run_dir / "checkpoints"
        self.pretrain(2, epochs=1000, max_steps=1)
        subprocess.run(["mount", "--bind", checkpoints, checkpoints], check=True)
        self.addCleanup(unmount, checkpoints)
        errors = self.run_until_the_disk_fails(2, lambda: self.remount(checkpoints, "bind,ro"))
        self.assertIn("Read-only file system", errors)
        self.assertIn(str(checkpoints), errors)
        self.remount(checkpoints, "bind,rw")
        self.assert_run_resumes(2)

    def test_a_run_directory_that_cannot_be_written_is_refused(self):
        self.remount(self.disk, "ro")
        done = self.pretrain(2, expect=2, max_steps=1)
        self.assertIn("Read-only file system", done.stderr)
        self.assertIn(str(self.run_dir), done.stderr)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as trial:
        attempt = mount(trial)
        if attempt.returncode != 0:
            print(f"skipped: no file system can be mounted here: {attempt.stderr.strip()}")
            sys.exit(77)
        unmount(trial)
    main()
