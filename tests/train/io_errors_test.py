"""Files that temporarily or permanently cannot be read or written: temporary errors are survived and logged,
permanent ones end all ranks, name the file, and leave older checkpoints untouched.

usage: io_errors_test.py SIMCLR MPIEXEC [unittest arguments], with FAULTY_IO_LIBRARY in the environment
"""
import errno
import os
import signal
import subprocess
import time

import numpy as np
from PIL import Image

from training_runs import SIMCLR, TrainingTest, main, rank_pids

LIBRARY = os.environ["FAULTY_IO_LIBRARY"]
FOREVER = 1_000_000


def fault(call, path, times, error, skip=0):
    return f"{call}:{path}:{skip}:{times}:{error}"


class IoErrorsTest(TrainingTest):
    def with_faults(self, *faults, ranks=1, rank=None, after="", **options):
        environment = {"LD_PRELOAD": LIBRARY, "FAULTY_IO": ";".join(faults)}
        if after:
            environment["FAULTY_IO_AFTER"] = str(after)
        if rank is not None:
            environment["FAULTY_IO_RANK"] = str(rank)
        return self.pretrain(ranks, environment=environment, **options)

    def warnings(self, done, *words):
        return [line for line in done.stderr.splitlines()
                if "simclr: warning: " in line and all(word in line for word in words)]

    def assert_error_names(self, done, *words):
        errors = [line for line in done.stderr.splitlines() if line.startswith("simclr: error: ")]
        self.assertTrue(errors, done.stderr)
        for word in words:
            self.assertIn(word, errors[0])

    def shard(self, index):
        return f"data-{index:05d}-of-00002.h5"

    # ---- temporary errors ---------------------------------------------------------------------------

    def test_reading_survives_a_temporary_error(self):
        """The errors occur after training has begun, as the loader reads fewer steps ahead than are skipped."""
        straight = self.run_dir.parent / "straight"
        self.pretrain(2, run_dir=straight, max_steps=24, cache="none")
        done = self.with_faults(fault("pread", self.shard(1), 2, errno.EIO), ranks=2, rank=1, max_steps=24,
                                after=self.run_dir / "metrics.jsonl", cache="none")
        warnings = self.warnings(done, "rank 1 on ", self.shard(1), "Input/output error", "trying again")
        self.assertEqual([("try 2 of 5" in line, "try 3 of 5" in line) for line in warnings],
                         [(True, False), (False, True)], done.stderr)
        self.assertEqual(self.losses(), self.losses(straight))

    def test_opening_survives_a_temporary_error(self):
        for cache in ("node", "distributed"):
            for call, error, text in (("open", errno.ESTALE, "Stale file handle"),
                                      ("pread", errno.EIO, "Input/output error")):
                done = self.with_faults(fault(call, self.shard(0), 1, error), max_steps=1, cache=cache)
                self.assertEqual(len(self.warnings(done, self.shard(0), text, "try 2 of 5")), 1, done.stderr)

    def test_writing_survives_a_temporary_error(self):
        straight = self.run_dir.parent / "straight"
        self.pretrain(run_dir=straight, max_steps=4, checkpoint_steps=2)
        done = self.with_faults(fault("write", "step-0000000002.h5", 1, errno.EIO),
                                fault("fsync", "step-0000000004.h5", 1, errno.ETIMEDOUT),
                                fault("write", "metrics.jsonl", 1, errno.EAGAIN, skip=1),
                                fault("open", "state.json", 1, errno.ESTALE, skip=1),
                                max_steps=4, checkpoint_steps=2)
        for name in ("step-0000000002.h5", "step-0000000004.h5", "metrics.jsonl", "state.json"):
            self.assertEqual(len(self.warnings(done, name, "trying again")), 1, done.stderr)
        for step in (2, 4):
            self.assertEqual(self.checkpoint(step).read_bytes(), self.checkpoint(step, straight).read_bytes())
        self.assertEqual(self.losses(), self.losses(straight))
        self.assertEqual(self.state()["status"], "finished")
        self.assertFalse([p for p in self.run_dir.rglob("*") if ".tmp-" in p.name])

    def test_packing_survives_a_temporary_error(self):
        images = self.run_dir.parent / "images"
        images.mkdir()
        for name in ("a", "b"):
            Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(images / f"{name}.png")
        done = subprocess.run([SIMCLR, "pack", "--input", images, "--output", self.run_dir.parent / "packed"],
                              env={**os.environ, "LD_PRELOAD": LIBRARY, "FAULTY_IO": fault("open", "b.png", 1, errno.EIO)},
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.warnings(done, "b.png", "Input/output error", "try 2 of 5")), 1, done.stderr)
        self.assertIn("packed 2 images", done.stdout)

    def test_a_start_survives_temporary_errors_of_a_runs_own_files(self):
        self.pretrain(max_steps=2)
        names = ("state.json", "environment.json", "config.cfg", "metrics.jsonl")
        done = self.with_faults(*(fault("read", name, 1, errno.EIO) for name in names), max_steps=3)
        for name in names:
            self.assertEqual(len(self.warnings(done, name, "Input/output error", "try 2 of 5")), 1, done.stderr)
        self.assertEqual(self.state()["restarts"], 1)
        self.assertEqual([row["step"] for row in self.rows()], [1, 2, 3])

    def test_a_checkpoint_survives_a_temporary_error(self):
        self.pretrain(max_steps=2)
        self.pretrain(max_steps=4)
        done = self.with_faults(fault("pread", "step-0000000004.h5", 1, errno.EIO, skip=2), max_steps=5)
        self.assertEqual(len(self.warnings(done, "step-0000000004.h5", "trying again")), 1, done.stderr)
        self.assertIn("at step 4", done.stdout)

    # ---- permanent errors ---------------------------------------------------------------------------

    def test_a_shard_that_cannot_be_read_ends_all_ranks(self):
        self.pretrain(2, max_steps=2, cache="none")
        before = self.checkpoint(2).read_bytes()
        (self.run_dir / "metrics.jsonl").unlink()  # it appears again when training begins
        done = self.with_faults(fault("pread", self.shard(0), FOREVER, errno.EIO), ranks=2, rank=1, expect=1,
                                after=self.run_dir / "metrics.jsonl", max_steps=24, cache="none")
        self.assert_error_names(done, "rank 1 on ", self.shard(0), "Input/output error", "5 tries")
        self.assertEqual(len(self.warnings(done, self.shard(0), "trying again")), 4, done.stderr)
        self.assertEqual(self.state()["status"], "failed")
        self.assertIn(self.shard(0), self.state()["reason"])
        self.assertEqual(self.checkpoint(2).read_bytes(), before)
        self.pretrain(2, max_steps=3, cache="none")

    def test_a_checkpoint_that_cannot_be_written_ends_all_ranks(self):
        self.pretrain(2, max_steps=2)
        before = self.checkpoint(2).read_bytes()
        for error, text, tries in ((errno.EIO, "Input/output error", "5 tries"),
                                   (errno.ENOSPC, "No space left on device", ""),
                                   (errno.EDQUOT, "Disk quota exceeded", "")):
            start = time.monotonic()
            done = self.with_faults(fault("write", "step-0000000003.h5", FOREVER, error), ranks=2, rank=0, expect=1,
                                    max_steps=6, checkpoint_steps=3)
            self.assert_error_names(done, "step-0000000003.h5", text, tries)
            if not tries:
                self.assertEqual(self.warnings(done, "trying again"), [])
            else:
                self.assertGreater(time.monotonic() - start, 6)
            self.assertEqual(self.state()["status"], "failed")
            self.assertEqual([p.name for p in (self.run_dir / "checkpoints").iterdir()], [self.checkpoint(2).name])
            self.assertEqual(self.checkpoint(2).read_bytes(), before)
        self.pretrain(2, max_steps=3)

    # ---- a slow disk --------------------------------------------------------------------------------

    def test_state_is_written_to_a_slow_disk_before_the_ranks_end(self):
        """A rank that was told to end does so 3 s later; then the launcher kills all ranks."""
        process = self.start(4, epochs=100000, timeout_seconds=4, environment={
            "LD_PRELOAD": LIBRARY, "FAULTY_IO": fault("fsync", "state.json", FOREVER, 0, skip=1),
            "FAULTY_IO_SECONDS": "6"})
        self.wait_for_step(process, 2)
        time.sleep(1.5)  # more than a heartbeat
        os.kill(rank_pids(process)[3], signal.SIGSTOP)
        _, errors = process.communicate(timeout=60)
        self.assertRegex(errors, r"simclr: error: rank 0 on \S+: rank 3 on \S+ is lost")
        self.assert_state(status="failed", cause="lost-rank", resubmit=True)


if __name__ == "__main__":
    main()
