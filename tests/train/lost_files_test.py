"""Files of a run that are lost, damaged or something else than files: nothing of the run is lost without a word.

usage: lost_files_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import os
import shutil
import signal
import subprocess
import time

from training_runs import MPIEXEC, OPTIONS, SIMCLR, TrainingTest, main

STEPS = 4


class LostFilesTest(TrainingTest):
    def setUp(self):
        super().setUp()
        self.pretrain(max_steps=STEPS)

    def refused(self, *words, **changed):
        """Refused in one line with these words; the run's records and state stay as they were."""
        kept = {name: (self.run_dir / name).read_bytes() for name in ("metrics.jsonl", "state.json")
                if (self.run_dir / name).is_file() and not (self.run_dir / name).is_symlink()}
        done = self.pretrain(expect=2, **changed)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for word in words:
            self.assertIn(str(word), done.stderr)
        for name, content in kept.items():
            self.assertEqual((self.run_dir / name).read_bytes(), content)
        return done.stderr

    def test_checkpoints_that_are_gone(self):
        checkpoints = self.run_dir / "checkpoints"
        aside = self.run_dir / "aside"
        checkpoints.rename(aside)
        for replace in (lambda: None, checkpoints.mkdir):
            replace()
            self.refused(checkpoints, "holds no checkpoint", f"step {STEPS}", "state.json")
        checkpoints.rmdir()
        for replace in (lambda: checkpoints.symlink_to("nowhere"), lambda: checkpoints.write_text(""),
                        lambda: os.mkfifo(checkpoints)):
            replace()
            self.refused(checkpoints, "is not a directory")
            checkpoints.unlink()
        aside.rename(checkpoints)
        self.pretrain(max_steps=STEPS + 1)
        # Deleting the state is the way to train from the start.
        shutil.rmtree(checkpoints)
        (self.run_dir / "state.json").unlink()
        self.pretrain(max_steps=1)
        self.assert_state(step=1)

    def test_something_else_in_place_of_the_results(self):
        results = self.run_dir / "eval"
        for replace in (lambda: results.symlink_to("nowhere"), lambda: results.write_text(""), lambda: os.mkfifo(results)):
            replace()
            self.refused(results, "is not a directory")
            self.refused(results, "is not a directory", dry_run="elsewhere")
            results.unlink()
        results.mkdir()
        self.pretrain(max_steps=STEPS + 1)

    def test_checkpoints_that_may_not_be_listed_or_written(self):
        if os.geteuid() != 0:
            self.skipTest("only root can run the program as another user")
        shutil.chown(self.run_dir, 65534)
        for path in (self.top, self.run_dir.parent, self.run_dir):
            path.chmod(0o777)
        for file in self.run_dir.iterdir():
            file.chmod(0o777)
        for mode in (0o000, 0o300, 0o555):
            (self.run_dir / "checkpoints").chmod(mode)
            done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", *self.command(1)], cwd="/",
                                  capture_output=True, text=True, timeout=60, check=False,
                                  env={**os.environ, "OMPI_MCA_orte_tmpdir_base": str(self.run_dir.parent)})
            self.assertEqual(done.returncode, 2, done.stderr)
            cannot = "write into" if mode == 0o555 else "read"
            self.assertIn(f"cannot {cannot} {self.run_dir / 'checkpoints'}", done.stderr)
            self.assertIn("Permission denied", done.stderr)
            self.assertEqual(len(self.rows()), STEPS)

    def test_rows_that_are_damaged(self):
        metrics = self.run_dir / "metrics.jsonl"
        rows = metrics.read_text().splitlines(keepends=True)
        for damage in (rows[1][:20] + "\n", "\n", "\x00\x01\n", '{"st\n'):
            metrics.write_text(rows[0] + damage + "".join(rows[2:]))
            self.refused(f"{metrics}: line 2")
        for content in (b"\x93NUMPY", b"GIF89a\n", b"step,loss\n1,2\n"):
            metrics.write_bytes(content)
            self.refused(f"{metrics}: line 1")
        # What a crash may leave: the beginning of the last row, or zeros in its place.
        for damage in (rows[-1][:20], '{"st', "\x00" * 30):
            metrics.write_text("".join(rows[:-1]) + damage)
            self.pretrain(max_steps=STEPS)
            self.assertEqual(len(self.rows()), STEPS - 1)

    def test_things_in_place_of_files(self):
        original = self.run_dir.parent / "original"
        self.run_dir.rename(original)
        makers = {"pipe": os.mkfifo, "directory": os.mkdir, "endless": lambda path: path.symlink_to("/dev/zero")}
        for name in ("metrics.jsonl", "config.cfg", "state.json", "environment.json"):
            for kind, make in makers.items():
                with self.subTest(name=name, kind=kind):
                    shutil.copytree(original, self.run_dir)
                    (self.run_dir / name).unlink()
                    make(self.run_dir / name)
                    self.refused(self.run_dir / name, "is not a plain file")
                    self.assertFalse((self.run_dir / "lock").exists())
                    shutil.rmtree(self.run_dir)

    def test_report_leaves_out_what_is_no_file(self):
        evaluation = self.run_dir / "eval"
        evaluation.mkdir()
        for path in (self.run_dir / "metrics.jsonl", self.run_dir / "state.json", evaluation / "knn.json"):
            path.unlink(missing_ok=True)
            os.mkfifo(path)
        done = subprocess.run([SIMCLR, "report", self.run_dir], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        page = (self.run_dir / "report.html").read_text()
        for name in ("metrics.jsonl", "state.json", "knn.json"):
            self.assertIn(name, page)

    def test_a_lost_configuration(self):
        stored = self.run_dir / "config.cfg"
        text = stored.read_text()
        stored.write_text("")
        self.refused(stored, "holds no options", "delete it")
        stored.unlink()
        command = [SIMCLR, "pretrain", f"--run-dir={self.run_dir}", f"--max-steps={STEPS + 1}"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        self.assert_state(step=STEPS + 1)
        self.assertEqual(stored.read_text(), text.replace(f"max-steps = {STEPS}\n", f"max-steps = {STEPS + 1}\n"))


class SurroundingsTest(TrainingTest):
    def test_ranks_of_different_instruction_sets(self):
        command = self.command(1)
        done = subprocess.run([MPIEXEC, "-n", "1", "env", "-u", "SIMCLR_CPU_ISA", *command,
                               ":", "-n", "1", "env", "SIMCLR_CPU_ISA=baseline", *command],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("SIMCLR_CPU_ISA", done.stderr)
        self.assertIn("'baseline' on rank 1", done.stderr)
        self.assertFalse(self.run_dir.exists())

    def test_names_that_are_not_utf8(self):
        environment = {"SLURM_CLUSTER_NAME": os.fsdecode(b"\xff"), "SLURM_JOB_ID": os.fsdecode(b"7\xfe")}
        self.pretrain(max_steps=1, environment=environment)
        self.assert_state(step=1)

    def test_an_end_of_the_job_that_cannot_be(self):
        done = self.pretrain(expect=2, environment={"SLURM_JOB_END_TIME": str(2**63 - 1)}, stop_before_minutes=1)
        self.assertIn("SLURM_JOB_END_TIME", done.stderr)

    def test_interrupts_that_the_parent_ignores(self):
        process = subprocess.Popen(self.command(1, epochs=1000, log_every=1), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        try:
            self.wait_for_step(process, 2)
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
            step = self.rows()[-1]["step"]
            self.wait_for_step(process, step + 10)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(60), 75)
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
