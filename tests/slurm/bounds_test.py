"""Placement of ranks, and the end of a pretraining job's restarts: no progress, too many restarts, no requeue allowed,
canceled.

stand_in.sh replaces the program, to end in every possible way.

usage: bounds_test.py SIMCLR [unittest arguments]
"""
import os
import time

from cluster import CLUSTER_NAME, wait_until
from slurm_case import STAND_IN, SlurmTest, main


class BoundsTest(SlurmTest):
    def submit_stand_in(self, end, *sbatch_options, run_dir=None, environment=None):
        return self.submit("--nodes=1", *sbatch_options, run_dir=run_dir,
                           environment={"SIMCLR": str(STAND_IN), "END": end, **(environment or {})})

    def test_two_starts_without_progress_end_the_job_with_the_reason(self):
        job = self.finish(self.submit_stand_in("stuck"), "FAILED")
        self.assertEqual((job.restarts, job.fields["ExitCode"]), (1, "1:0"))
        self.assertIn("no progress: 2 starts in a row wrote no checkpoint after step 0 "
                      "(the latest reason: disk on fire)", self.log.read_text())
        self.assertEqual(self.starts(), [0, 0])

    def test_the_number_of_restarts_is_limited(self):
        number = self.submit_stand_in("forward", environment={"SIMCLR_MAX_RESTARTS": "1"})
        job = self.finish(number, "FAILED")
        self.assertEqual((job.restarts, job.fields["ExitCode"]), (1, "75:0"))
        self.assertEqual(self.starts(), [0, 1])
        log = self.log.read_text()
        self.assertIn("restarted 1 times, the limit (SIMCLR_MAX_RESTARTS)", log)
        self.assertIn(f"pretrain.sbatch --data={self.data}", log)  # the command that continues the run

    def test_a_crash_is_requeued_and_a_failure_that_would_repeat_is_not(self):
        crashed = self.submit_stand_in("crash")
        wait_until(lambda: self.cluster.job(crashed).restarts == 1, 30, self.log_text)
        self.assertIn("the program crashed; the launcher ended with code", self.log.read_text())
        self.cluster.run("scancel", crashed)
        job = self.finish(self.submit_stand_in("hopeless"), "FAILED")
        self.assertEqual((job.restarts, job.fields["ExitCode"]), (0, "1:0"))
        self.assertIn("failed, and would fail again: loss of 1e9", self.log.read_text())

    def test_every_rank_has_its_own_core(self):
        if not {0, 1} <= os.sched_getaffinity(0):
            self.skipTest("this process may not use cores 0 and 1, which are the cores of every node")
        self.finish(self.submit_stand_in("hopeless", "--nodes=2"), "FAILED")
        cores = [(self.run_dir / f"cores-of-rank-{rank}").read_text().strip() for rank in range(4)]
        self.assertEqual(sorted(cores[:2]), ["0", "1"])
        self.assertEqual(sorted(cores[2:]), ["0", "1"])

    def test_the_log_has_the_command_if_slurm_does_not_requeue(self):
        job = self.finish(self.submit_stand_in("forward", "--no-requeue"), "FAILED")
        self.assertEqual((job.restarts, job.fields["ExitCode"]), (0, "75:0"))
        log = self.log.read_text()
        self.assertIn("Slurm refuses to requeue this job; to go on: sbatch --nodes=1 ", log)

    def test_a_canceled_job_is_not_requeued(self):
        number = self.submit_stand_in("sleep")
        wait_until((self.run_dir / "state.json").exists, 20, self.log_text)
        self.cluster.run("scancel", number)
        job = self.finish(number, "CANCELLED", 30)
        time.sleep(3)
        self.assertEqual((self.cluster.job(number).state, job.restarts), ("CANCELLED", 0))
        self.assertEqual(self.starts(), [0])

    def write_lock(self, job, cluster):
        self.run_dir.mkdir(exist_ok=True)
        lock = self.run_dir / "lock"
        lock.write_text(f'{{"host":"elsewhere","pid":1,"process_start":"1","job":"{job}","job_restart":0,"cluster":"{cluster}"}}')
        return lock

    def test_deletes_the_lock_of_a_job_that_has_ended(self):
        lock = self.write_lock(999999, CLUSTER_NAME)
        self.finish(self.submit_stand_in("hopeless"), "FAILED")
        self.assertFalse(lock.exists())
        self.assertIn("was left by job 999999", self.log.read_text())

    def test_keeps_the_lock_of_a_job_that_may_run(self):
        running = self.submit_stand_in("sleep", run_dir=self.directory / "elsewhere")
        wait_until((self.directory / "elsewhere/state.json").exists, 20, self.log_text)
        for job, cluster, filters in ((running, CLUSTER_NAME, {"SQUEUE_STATES": "PENDING", "SQUEUE_PARTITION": "urgent"}),
                                      (running, CLUSTER_NAME, {"SQUEUE_FORMAT": "%i"}), (999999, "another", {})):
            with self.subTest(job=job, cluster=cluster, filters=filters):
                lock = self.write_lock(job, cluster)
                before = lock.read_text()
                ended = self.finish(self.submit_stand_in("hopeless", environment=filters), "FAILED")
                self.assertEqual((ended.restarts, ended.fields["ExitCode"]), (0, "2:0"))
                self.assertIn(f"is in use by job {job}", self.log.read_text())
                self.assertEqual(lock.read_text(), before)

    def test_an_array_that_shares_a_run_directory(self):
        """The task that is refused must not take the other one's state for its own."""
        number = self.submit("--nodes=1", "--array=0-1", f"--output={self.directory}/%a.out", epochs=10000)
        logs = [self.directory / f"{task}.out" for task in (0, 1)]
        loser = wait_until(lambda: next((log for log in logs if log.exists() and "refused the run" in log.read_text()), None),
                           60, lambda: str([log.read_text() for log in logs if log.exists()]))
        self.assertRegex(loser.read_text(), r"is in use by process \d+ on n\d, job \d+ of cluster")
        self.assertNotIn("requeueing", loser.read_text())
        self.cluster.run("scancel", "--batch", "--signal=USR1", number)
        self.cluster.run("scancel", number)


if __name__ == "__main__":
    main()
