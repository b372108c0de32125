"""Kills all ranks at random moments, many while a checkpoint is being written: nothing is lost.

usage: crash_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import os
import random
import re
import signal
import subprocess
import time
import unittest

from training_runs import SIMCLR, TrainingTest, alive, main, ranks_of

KILLS = 30
RANKS = 2
# A model large enough that writing a checkpoint takes a while; one is written after every step.
LARGE = {"width": 0.25, "checkpoint_every_minutes": 1e-9, "epochs": 1000, "keep": 2}


class CrashTest(TrainingTest):
    def checkpoints(self, complete):
        directory = self.run_dir / "checkpoints"
        names = os.listdir(directory) if directory.exists() else []
        return sorted(name for name in names if name.endswith(".h5") == complete)

    def newest_step(self):
        names = self.checkpoints(complete=True)
        return int(re.search(r"\d+", names[-1])[0]) if names else 0

    def wait_for_unfinished_checkpoint(self, process, after):
        """Waits until a checkpoint of a step later than `after` is being written."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if self.newest_step() >= after and self.checkpoints(complete=False):
                return
            time.sleep(0.0005)
        self.fail(f"no checkpoint is written: {process.communicate(timeout=5)}")

    def kill(self, process, ranks):
        for rank in ranks:
            os.kill(rank, signal.SIGKILL)
        try:
            output = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:  # Open MPI's launcher sometimes misses that all its ranks have died
            process.kill()
            output = process.communicate(timeout=20)
        self.assertFalse([rank for rank in ranks if alive(rank)])
        return "".join(output)

    def test_thirty_kills_do_not_change_the_result(self):
        moments = random.Random(2020)
        during_write = 0
        for kill in range(KILLS):
            before = self.newest_step()
            process = self.start(RANKS, **LARGE)
            if kill % 3 == 0:  # anywhere: also while it starts, and before anything is written
                time.sleep(moments.uniform(0.1, 1.5))
                ranks = ranks_of(process, RANKS)
            else:  # the while it takes to write one
                ranks = ranks_of(process, RANKS)
                self.wait_for_unfinished_checkpoint(process, before + moments.randrange(3))
                time.sleep(moments.uniform(0, 0.005))
            output = self.kill(process, ranks)
            during_write += bool(self.checkpoints(complete=False))
            self.assertNotIn("simclr: error:", output)
            resumed = re.search(r"resuming from \S+ at step (\d+)", output)
            if resumed:
                self.assertEqual(int(resumed[1]), before, output)
            self.assertGreaterEqual(self.newest_step(), before)
            for name in self.checkpoints(complete=True):
                subprocess.run([SIMCLR, "inspect", self.run_dir / "checkpoints" / name, "--verify"],
                               check=True, capture_output=True)
        self.assertGreaterEqual(during_write, KILLS // 6)

        end = self.newest_step() + 2
        print(f"{KILLS} kills, {during_write} during a checkpoint's writing; {end} steps in all")
        done = self.pretrain(RANKS, max_steps=end, **LARGE)
        self.assertIn(f"at step {end - 2}", done.stdout)
        self.assertEqual(self.checkpoints(complete=False), [])
        straight = self.run_dir.parent / "straight"
        self.pretrain(RANKS, run_dir=straight, max_steps=end, **LARGE)
        self.assertEqual(self.checkpoint(end).read_bytes(), self.checkpoint(end, straight).read_bytes())
        self.assertEqual(self.losses(), self.losses(straight))


if __name__ == "__main__":
    main()
