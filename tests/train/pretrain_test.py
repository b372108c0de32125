"""Runs `simclr pretrain` and checks its files, restarts, ranks, signals and failures.

usage: pretrain_test.py SIMCLR MPIEXEC [unittest arguments]
"""
import json
import os
import resource
import shutil
import signal
import subprocess
import time

from training_runs import OPTIONS, SIMCLR, TrainingTest, alive, main, ranks_of


class PretrainTest(TrainingTest):
    # ---- what a run leaves ----------------------------------------------------------------------

    def test_files_of_a_run_directory(self):
        self.pretrain(max_steps=3, checkpoint_steps="0,2", keep=1)
        self.assertEqual([row["step"] for row in self.rows()], [1, 2, 3])
        self.assertEqual(self.rows()[0]["learning_rate"], 0)
        self.assertAlmostEqual(self.rows()[1]["learning_rate"], 0.1 / 3)
        self.assert_state(status="finished", step=3, cause="max-steps", resubmit=False, restarts=0)
        names = sorted(os.listdir(self.run_dir / "checkpoints"))
        self.assertEqual(names, [self.checkpoint(s).name for s in (0, 2, 3)])
        environment = json.loads((self.run_dir / "environment.json").read_text())
        self.assertEqual(environment["ranks"][0]["threads"], 1)
        self.assertFalse((self.run_dir / "lock").exists())

        # The stored configuration can be loaded and gives the same settings.
        again = self.run_dir.parent / "again"
        done = subprocess.run([SIMCLR, "pretrain", "--config", self.run_dir / "config.cfg", "--run-dir", again],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.losses(again), self.losses())

    def test_precedence_is_command_line_then_section_then_common(self):
        config = self.run_dir.parent / "c.cfg"
        lines = "".join(f"{k} = {v}\n" for k, v in OPTIONS.items() if k not in ("batch-size", "threads"))
        config.write_text(f"data = {self.data}\nthreads = 3\n# a comment\n[pretrain]\n{lines}"
                          "batch-size = 12\nthreads = 1\nseed = 7\n[linear-eval]\nepochs = 5\n")
        done = subprocess.run([SIMCLR, "pretrain", "--config", config, "--run-dir", self.run_dir,
                               "--batch-size", "24", "--max-steps", "1"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        written = (self.run_dir / "config.cfg").read_text()
        for line in ("batch-size = 24", "threads = 1", "seed = 7", "epochs = 4", f"data = {self.data}"):
            self.assertIn(f"\n{line}\n", written)

    def test_trace_ops_prints_every_op_once(self):
        done = self.pretrain(max_steps=1, trace_ops=True)
        for op in ("conv_forward", "contrastive_forward", "conv_backward_weights", "lars_update"):
            self.assertIn(op, done.stdout)
        self.assertIn("not finite 0", done.stdout)

    # ---- restarts and ranks -----------------------------------------------------------------------

    def test_a_restart_changes_no_byte(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                # Rows after the checkpoint, as a crash leaves them, are removed.
                restarted = self.assert_a_restart_changes_no_bit(ranks, at=6, steps=10, columns=["loss"],
                                                                 torn_rows='{"step":7,"loss":1.0}\n{"step":8,"lo')
                state = json.loads((restarted / "state.json").read_text())
                self.assertEqual(state["restarts"], 1)

    def test_one_two_and_four_ranks_compute_the_same(self):
        directories = {n: self.run_dir.parent / f"ranks{n}" for n in (1, 2, 4)}
        for ranks, directory in directories.items():
            self.pretrain(ranks, run_dir=directory, max_steps=12, checkpoint_steps=5)
        one = self.losses(directories[1])
        for ranks in (2, 4):
            self.assert_close(self.losses(directories[ranks])[:1], one[:1], 1e-6)
            self.assert_close(self.losses(directories[ranks]), one, 1e-3)
            # Start several ranks from one rank's checkpoint: the same state, in the middle of an epoch, with momentum.
            forked = self.run_dir.parent / f"forked{ranks}"
            self.pretrain(ranks, run_dir=forked, max_steps=6, resume=self.checkpoint(5, directories[1]))
            self.assert_close(self.losses(forked), one[5:6], 1e-6)

    def test_another_number_of_ranks_goes_on(self):
        straight = self.run_dir.parent / "straight"
        self.pretrain(1, run_dir=straight, max_steps=6)
        for ranks, steps in ((1, 2), (2, 4), (4, 6)):
            self.pretrain(ranks, max_steps=steps)
        self.assertEqual([row["step"] for row in self.rows()], [1, 2, 3, 4, 5, 6])
        self.assert_close(self.losses(), self.losses(straight), 1e-3)

    def test_pinned_checkpoints_are_kept(self):
        self.pretrain(max_steps=3, checkpoint_steps="0,1")
        self.pretrain(max_steps=6, keep=1)
        steps = sorted(int(file.stem.split("-")[1]) for file in (self.run_dir / "checkpoints").glob("step-*.h5"))
        self.assertEqual([step for step in steps if step < 2], [0, 1])
        self.assertIn(6, steps)

    def test_a_run_of_no_steps_writes_its_initial_state(self):
        self.pretrain(max_steps=0)
        self.assertTrue(self.checkpoint(0).exists())

    def test_falls_back_when_the_newest_checkpoint_is_damaged(self):
        self.pretrain(max_steps=2)
        self.pretrain(max_steps=4)
        newest = self.checkpoint(4)
        damaged = bytearray(newest.read_bytes())
        damaged[len(damaged) // 2] ^= 0x40
        newest.write_bytes(damaged)
        verified = subprocess.run([SIMCLR, "inspect", self.run_dir, "--verify"], capture_output=True, text=True,
                                  check=False)
        self.assertEqual(verified.returncode, 1, verified.stdout)
        self.assertIn(newest.name, verified.stderr)
        done = self.pretrain(max_steps=5)
        self.assertIn(newest.name, done.stderr)
        self.assertIn("at step 2", done.stdout)
        self.assertEqual([row["step"] for row in self.rows()], [1, 2, 3, 4, 5])

    # ---- signals and failures ---------------------------------------------------------------------

    def test_usr1_stops_all_ranks_with_a_checkpoint_and_75(self):
        step = self.stop_by_signal(ranks=2, after_step=2, epochs=1000)
        self.assertIn("SIGUSR1", self.state()["reason"])
        self.assertTrue(self.checkpoint(step).exists())
        self.pretrain(2, epochs=1000, max_steps=step + 1)
        self.assertEqual(self.rows()[-1]["step"], step + 1)

    def test_stops_before_the_time_limit(self):
        soon = {"SLURM_JOB_END_TIME": str(int(time.time()) + 60)}
        self.pretrain(2, expect=75, environment=soon, stop_before_minutes=2)
        self.assert_state(status="stopped-early", step=1, cause="time-limit", resubmit=True)
        self.assertTrue(self.checkpoint(1).exists())

    def test_a_killed_rank_ends_all_within_five_seconds(self):
        process = self.start(2, epochs=1000)
        self.wait_for_step(process, 1)
        ranks = ranks_of(process, 2)
        os.kill(ranks[1], signal.SIGKILL)
        killed = time.monotonic()
        process.communicate(timeout=30)
        while any(map(alive, ranks)) and time.monotonic() - killed < 5:
            time.sleep(0.02)
        self.assertLess(time.monotonic() - killed, 5)
        self.assertFalse([rank for rank in ranks if alive(rank)])
        self.assertNotEqual(process.returncode, 0)
        # Its lock is stale and does not block a restart.
        done = self.pretrain(1, epochs=1000, max_steps=2)
        self.assertIn("lock", done.stderr)

    def test_a_nan_stops_the_run_and_names_the_first_op(self):
        done = self.pretrain(2, expect=1, optimizer="sgd", learning_rate=1e30, warmup_epochs=0,
                             checkpoint_steps=0)
        errors = [line for line in done.stderr.splitlines() if line.startswith("simclr: error:")]
        self.assertEqual(len(errors), 1, done.stderr)
        self.assertRegex(errors[0], r"step 2: the loss is not finite; first offending op: '\w+ [\w.]+'")
        self.assert_state(status="failed", step=0, cause="not-finite", resubmit=False)
        self.assertIn("not finite", self.state()["reason"])
        self.assertEqual(os.listdir(self.run_dir / "checkpoints"), [self.checkpoint(0).name])

    def test_a_nan_in_the_gradients_alone_stops_the_run_and_names_the_first_op(self):
        """The loss uses cosines divided by 1e-37, which are finite. Its derivative is divided by the embeddings' lengths, which
        batch normalization's epsilon leaves at about 1e-5 for pixels of 1e-17: it overflows, however it is rounded."""
        lesser = {"SIMCLR_CPU_ISA": "baseline", "DNNL_MAX_CPU_ISA": "SSE41"}
        for ranks, environment in ((1, {}), (2, {}), (1, lesser)):
            with self.subTest(ranks=ranks, environment=environment):
                shutil.rmtree(self.run_dir, ignore_errors=True)
                done = self.pretrain(ranks, expect=1, environment=environment, temperature=1e-37, mean="0,0,0",
                                     std="1e17,1e17,1e17", checkpoint_steps=0)
                errors = [line for line in done.stderr.splitlines() if line.startswith("simclr: error:")]
                self.assertEqual(len(errors), 1, done.stderr)
                self.assertRegex(errors[0], r"step 1: the gradient is not finite; first offending op: "
                                            r"'\w*backward\w* [\w.]+' \(op \d+\) writes \d+ non-finite values")
                self.assert_state(status="failed", step=0, cause="not-finite", resubmit=False)
                self.assertIn("gradient is not finite", self.state()["reason"])
                self.assertEqual(self.rows(), [])
                self.assertEqual(os.listdir(self.run_dir / "checkpoints"), [self.checkpoint(0).name])
                subprocess.run([SIMCLR, "inspect", self.run_dir, "--verify"], check=True, capture_output=True)

    def test_a_full_disk_fails_the_run_and_keeps_older_checkpoints(self):
        self.pretrain(max_steps=2)
        before = self.checkpoint(2).read_bytes()

        process = self.start(1, max_steps=20)
        self.wait_for_step(process, 3)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (len(before) // 2, resource.RLIM_INFINITY))
        process.send_signal(signal.SIGUSR1)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, errors)
        self.assertRegex(errors, r"simclr: error: .*step-0000\d+\.h5")
        self.assertEqual(os.listdir(self.run_dir / "checkpoints"), [self.checkpoint(2).name])
        self.assertEqual(self.checkpoint(2).read_bytes(), before)
        self.assert_state(status="failed", step=2, cause="io", resubmit=True)
        self.pretrain(max_steps=3)


if __name__ == "__main__":
    main()
