"""A pretraining job that gets a signal to stop writes a checkpoint and requeues itself; its weights at the end
equal those of an undisturbed run.

usage: interruption_test.py SIMCLR [unittest arguments]
"""
import time

from cluster import wait_until
from slurm_case import BATCH, OPTIONS, SAMPLES, SlurmTest, main

STEPS = OPTIONS["epochs"] * SAMPLES // BATCH
MIDDLE = 5  # number of steps before a signal is sent
SIGNALLED = "USR1: the program writes a checkpoint"


class InterruptionTest(SlurmTest):
    undisturbed = None

    def reference(self):
        """Returns the newest checkpoint of an undisturbed run."""
        if InterruptionTest.undisturbed is None:
            run_dir = self.top / "undisturbed"
            self.finish(self.submit(run_dir=run_dir))
            self.assertEqual(len(self.rows(run_dir)), STEPS)
            InterruptionTest.undisturbed = self.newest_checkpoint(run_dir)
            self.assertEqual(self.starts(run_dir), [0])
        return InterruptionTest.undisturbed

    def assert_resumed_as_if_undisturbed(self, job, reason):
        starts = self.starts()
        self.saw(f"starts at steps {starts} of {STEPS}")
        self.assertEqual(job.restarts, len(starts) - 1)
        self.assertGreaterEqual(job.restarts, 1)
        self.assertEqual(starts, sorted(set(starts)))  # each start resumes where the one before stopped
        log = self.log.read_text()
        self.assertIn(f"stopped early: {reason}", log)
        for restart, step in enumerate(starts):
            self.assertRegex(log, rf"restart {restart}, 8 ranks on n\[0-3\]: pretraining in \S+ from step {step}\n")
        self.assertEqual([row["step"] for row in self.rows()], list(range(1, STEPS + 1)))
        state = self.state()
        self.assertEqual((state["status"], state["step"], state["restarts"]), ("finished", STEPS, job.restarts))
        self.assert_same_weights(self.reference(), self.newest_checkpoint())

    def test_usr1_to_the_batch_script(self):
        self.reference()
        number = self.submit()
        self.freeze_at_step(MIDDLE)
        self.cluster.run("scancel", "--batch", "--signal=USR1", number)
        self.wait_for_log(SIGNALLED)
        sent = time.monotonic()
        self.thaw()
        wait_until(lambda: self.cluster.job(number).state == "PENDING", 20, self.log_text)
        self.saw(f"requeued {time.monotonic() - sent:.1f} s after the signal")
        self.assertEqual(self.state()["status"], "stopped-early")
        self.assertEqual(self.newest_checkpoint().name, f"step-{self.state()['step']:010}.h5")
        self.assert_resumed_as_if_undisturbed(self.finish(number), "signal SIGUSR1")

    def test_usr1_through_mpirun_before_the_program_can_catch_it(self):
        self.reference()
        number = self.submit(environment={"SIMCLR_LAUNCHER": "mpirun"})
        self.wait_for_log("restart 0")
        self.cluster.run("scancel", "--batch", "--signal=USR1", number)
        self.assert_resumed_as_if_undisturbed(self.finish(number), "signal SIGUSR1")

    def test_preemption_by_a_higher_partition(self):
        self.reference()
        number = self.submit()
        self.freeze_at_step(MIDDLE)
        sent = time.monotonic()
        urgent = self.cluster.submit("--partition=urgent", "--nodes=4", "--ntasks-per-node=2", "--output=/dev/null",
                                     "--wrap=sleep 1", cwd=self.directory)
        self.wait_for_log(SIGNALLED, 30)
        self.thaw()
        self.cluster.wait_for_job(urgent, 30)
        self.saw(f"the urgent job was through {time.monotonic() - sent:.1f} s after it had come")
        self.assertEqual(self.starts(), [0])
        self.assert_resumed_as_if_undisturbed(self.finish(number), "signal SIGUSR1")

    def test_time_limit(self):
        """Slurm sends a signal before the time limit; its controller checks limits every 30 s."""
        self.reference()
        submitted = time.monotonic()
        number = self.submit("--time=1", "--signal=B:USR1@45", environment={"SIMCLR_STOP_BEFORE_MINUTES": "0.01"})
        self.freeze_at_step(MIDDLE)
        self.wait_for_log(SIGNALLED)
        self.saw(f"Slurm's signal came {time.monotonic() - submitted:.0f} s after submission, with a limit of 60 s")
        self.thaw()
        self.assert_resumed_as_if_undisturbed(self.finish(number), "signal SIGUSR1")

    def test_the_program_stops_by_itself_before_the_end_of_the_job(self):
        self.reference()
        began = time.monotonic()
        # The program's deadline is 6 s after the start, long before Slurm's signal.
        number = self.submit("--time=1", "--signal=B:USR1@1", environment={"SIMCLR_STOP_BEFORE_MINUTES": "0.9"})
        self.freeze_at_step(MIDDLE)
        time.sleep(max(0.0, began + 8 - time.monotonic()))
        self.thaw()
        self.wait_for_log("requeueing")
        self.cluster.run("scontrol", "update", f"JobId={number}", "TimeLimit=10")  # no second stop
        self.assert_resumed_as_if_undisturbed(self.finish(number), "the job's time limit")


if __name__ == "__main__":
    main()
