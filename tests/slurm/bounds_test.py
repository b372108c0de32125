"""Placement of ranks, and the end of a pretraining job's restarts: no progress, too many restarts, no requeue allowed,
canceled.

stand_in.sh replaces the program, to end in every possible way.

usage: bounds_test.py SIMCLR [unittest arguments]
"""
import os
import time

from cluster import wait_until
from slurm_case import STAND_IN, SlurmTest, main


class BoundsTest(SlurmTest):
    def submit_stand_in(self, end, *sbatch_options, environment=None):
        return self.submit("--nodes=1", *sbatch_options,
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

    def test_deletes_the_lock_of_a_job_that_has_ended(self):
        self.run_dir.mkdir()
        lock = self.run_dir / "lock"
        lock.write_text('{"host":"elsewhere","pid":1,"process_start":"1","job":"999999"}')
        self.finish(self.submit_stand_in("hopeless"), "FAILED")
        self.assertFalse(lock.exists())
        self.assertIn("was left by job 999999", self.log.read_text())


if __name__ == "__main__":
    main()
