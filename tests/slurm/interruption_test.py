"""A pretraining job that is asked to stop: it writes a checkpoint, requeues itself, and its weights at the
end are those of a run that nobody has disturbed.

usage: interruption_test.py SIMCLR [unittest arguments]
"""
import re
import time

from cluster import wait_until
from slurm_case import SlurmTest, main

STEPS = 24  # about 8 s: a node's CPUs are two real cores for all nodes
# The controller looks at time limits this often, and says so in its log.
LIMIT_CHECK_SECONDS = 30


class InterruptionTest(SlurmTest):
    undisturbed = None

    def reference(self):
        """The newest checkpoint of a run that nobody has disturbed."""
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
        self.assertEqual(starts, sorted(set(starts)))  # each from where the one before has stopped
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
        self.wait_for_step(STEPS // 3)
        self.cluster.run("scancel", "--batch", "--signal=USR1", number)
        sent = time.monotonic()
        wait_until(lambda: self.cluster.job(number).state == "PENDING", 20, self.log_text)
        self.saw(f"requeued {time.monotonic() - sent:.1f} s after the signal")
        self.assertEqual(self.state()["status"], "stopped-early")
        self.assertEqual(self.newest_checkpoint().name, f"step-{self.state()['step']:010}.h5")
        self.assert_resumed_as_if_undisturbed(self.finish(number), "signal SIGUSR1")

    def test_usr1_through_mpirun_before_the_program_can_catch_it(self):
        self.reference()
        number = self.submit(environment={"SIMCLR_LAUNCHER": "mpirun"})
        wait_until(lambda: self.cluster.job(number).state == "RUNNING", 20, self.log_text)
        self.cluster.run("scancel", "--batch", "--signal=USR1", number)
        self.assert_resumed_as_if_undisturbed(self.finish(number), "signal SIGUSR1")

    def test_preemption_by_a_higher_partition(self):
        self.reference()
        number = self.submit()
        self.wait_for_step(STEPS // 3)
        urgent = self.cluster.submit("--partition=urgent", "--nodes=4", "--ntasks-per-node=2", "--output=/dev/null",
                                     "--wrap=sleep 1", cwd=self.directory)
        sent = time.monotonic()
        self.cluster.wait_for_job(urgent, 30)
        self.saw(f"the urgent job was through {time.monotonic() - sent:.1f} s after it had come")
        self.assertIn(self.state()["status"], ("stopped-early", "running"))
        self.assert_resumed_as_if_undisturbed(self.finish(number), "signal SIGUSR1")

    def next_limit_check(self):
        """When the controller will look at time limits next, as a time of the wall clock."""
        stamps = re.findall(r"\[(\S+)\.\d+\] debug2: Testing job time limits",
                            (self.cluster.directory / "slurmctld.log").read_text())
        self.assertTrue(stamps)
        last = time.mktime(time.strptime(stamps[-1], "%Y-%m-%dT%H:%M:%S"))
        return last + LIMIT_CHECK_SECONDS

    def test_time_limit(self):
        """Slurm's signal ahead of the time limit, on the controller's next look at it."""
        self.reference()
        until = self.next_limit_check() - 3.5  # it is then in the middle of its steps
        time.sleep((until - time.time()) % LIMIT_CHECK_SECONDS)
        submitted = time.time()
        number = self.submit("--time=1", "--signal=B:USR1@45", environment={"SIMCLR_STOP_BEFORE_MINUTES": "0.01"})
        wait_until(lambda: "USR1" in self.log_text(), 50, self.log_text)
        self.saw(f"Slurm's signal came {time.time() - submitted:.0f} s after submission, with a limit of 60 s")
        self.cluster.run("scontrol", "update", f"JobId={number}", "TimeLimit=5")
        self.assert_resumed_as_if_undisturbed(self.finish(number), "signal SIGUSR1")

    def test_the_program_stops_by_itself_before_the_end_of_the_job(self):
        self.reference()
        number = self.submit("--time=1", environment={"SIMCLR_STOP_BEFORE_MINUTES": "0.92"})  # 5 s after the start
        self.assert_resumed_as_if_undisturbed(self.finish(number, seconds=120), "the job's time limit")


if __name__ == "__main__":
    main()
