"""Faults during training: whether the job ends, which rank it names, what it leaves and what state.json says.

usage: faults_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from training_runs import SIMCLR, TrainingTest, main, rank_pids

# This run diverges on every processor, however it rounds. The views of an image are nearly equal, so that even the
# untrained encoder pairs them better than guessing does. AdamW's decay then shrinks all weights to 1e-8 or less: every
# step removes a fifth of the weights, and gradients cannot compensate, as their steps are only as large as the learning
# rate. The embeddings vanish, and the loss becomes that of guessing, ln(2N - 1), to the last digit.
DIVERGING = {"optimizer": "adamw", "learning_rate": 2e-9, "weight_decay": 1e8, "warmup_epochs": 20, "epochs": 3000,
             "batch_size": 48, "augment": "color", "color_strength": 0.1, "checkpoint_every_epochs": 10, "keep": 2,
             "divergence_steps": 40, "hash_every": 50}


class FaultsTest(TrainingTest):
    # ---- ranks ------------------------------------------------------------------------------------

    def assert_stopped_rank_ends_the_job(self, ranks, stopped):
        process = self.start(ranks, epochs=100000, timeout_seconds=5, checkpoint_every_epochs=2)
        self.wait_for_step(process, 14)
        time.sleep(1.5)  # more than a heartbeat
        os.kill(rank_pids(process)[stopped], signal.SIGSTOP)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)
        self.assertLess(time.monotonic() - start, 60)
        self.assertNotEqual(process.returncode, 0)
        self.assertRegex(errors, rf"simclr: error: rank \d on \S+: rank {stopped} on \S+ is lost at step \d+, .+: "
                                 r"nothing heard from it for \d+ s")
        self.assert_state(status="failed", cause="lost-rank", resubmit=True, restarts=0)
        self.assertIn(f"rank {stopped} on ", self.state()["reason"])
        step = self.state()["step"]
        self.assertGreaterEqual(step, 12)
        self.assertTrue(self.checkpoint(step).exists())

        done = self.pretrain(2, epochs=100000, max_steps=step + 2)
        self.assertIn("restart 1 of this run", done.stdout)
        self.assertIn(f"at step {step}", done.stdout)
        self.assert_state(status="finished", cause="max-steps", resubmit=False, restarts=1, step=step + 2)
        return done

    def test_a_silent_rank_ends_the_job_and_the_run_goes_on(self):
        done = self.assert_stopped_rank_ends_the_job(4, 2)
        self.assertRegex(done.stdout, "changed since the previous start: ranks 4 -> 2: the run goes on, but not bit for bit")

    def test_a_silent_rank_0_ends_the_job_and_the_run_goes_on(self):
        self.assert_stopped_rank_ends_the_job(2, 0)

    def test_a_killed_run_may_be_resubmitted(self):
        process = self.start(1, epochs=100000)
        self.wait_for_step(process, 1)
        process.kill()
        process.communicate(timeout=10)
        self.assert_state(status="running", cause="none", resubmit=True)

    def test_another_cache_changes_no_bits(self):
        self.pretrain(max_steps=2)
        done = self.pretrain(max_steps=3, cache="none")
        self.assertIn("changed since the previous start: data node cache -> no cache: the run goes on, bit for bit", done.stdout)

    # ---- weights ----------------------------------------------------------------------------------

    def test_ranks_hold_equal_weights_with_any_bn_group(self):
        for group in ("local", "global", 8):
            for optimizer in ("lars", "adamw"):
                with self.subTest(group=group, optimizer=optimizer):
                    shutil.rmtree(self.run_dir, ignore_errors=True)
                    self.pretrain(4, bn_group=group, optimizer=optimizer, hash_every=1, max_steps=3)

    # ---- divergence -------------------------------------------------------------------------------

    def test_a_diverged_run_stops_with_a_checkpoint_from_before(self):
        done = self.pretrain(expect=1, **DIVERGING)
        self.assertRegex(done.stderr, r"simclr: error: step \d+: the run has diverged: .* guessing, ln\(2N - 1\) = "
                                      r"4\.5539, from step \d+ to \d+, .*--learning-rate.*--divergence-steps 0")
        self.assert_state(status="failed", cause="diverged", resubmit=False)
        step = self.state()["step"]
        losses = self.losses()
        self.assertLess(step, len(losses) - 74)
        guessing = 4.5539
        for loss in losses[-40:]:
            self.assertAlmostEqual(loss, guessing, delta=1e-3)
        self.assertLess(sum(losses[step:step + 40]) / 40, guessing - 0.1)
        left = os.listdir(self.run_dir / "checkpoints")
        self.assertEqual([name for name in left if name.endswith(".h5")], [self.checkpoint(step).name])
        subprocess.run([SIMCLR, "inspect", self.run_dir, "--verify"], check=True, capture_output=True)

        # A repetition diverges as well, bit for bit; with --divergence-steps 0 the run goes on.
        again = self.pretrain(expect=1, **DIVERGING)
        self.assertIn(f"at step {step}", again.stdout)
        self.assertEqual(self.losses(), losses)
        self.pretrain(**{**DIVERGING, "divergence_steps": 0, "max_steps": len(losses) + 1})
        self.assertEqual(len(self.losses()), len(losses) + 1)
        self.assert_state(status="finished", cause="max-steps", resubmit=False, step=len(losses) + 1)

    def test_divergence_is_detected_across_a_restart(self):
        self.pretrain(expect=1, **DIVERGING)
        diverged_at = len(self.losses())
        shutil.rmtree(self.run_dir)
        self.pretrain(**DIVERGING, max_steps=diverged_at - 10)
        done = self.pretrain(expect=1, **DIVERGING)
        self.assertRegex(done.stderr, rf"step {diverged_at}: the run has diverged")


if __name__ == "__main__":
    main()
