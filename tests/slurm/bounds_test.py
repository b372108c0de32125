"""How ranks are placed, and when a pretraining job stops trying: no progress, too many restarts, no requeue allowed,
cancelled.

A stand-in (stand_in.sh) takes the program's place, so that every way to end can be had.

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

    def test_no_progress_between_two_restarts_ends_the_job_with_the_reason(self):
        job = self.finish(self.submit_stand_in("stuck"), "FAILED")
        self.assertEqual((job.restarts, job.fields["ExitCode"]), (1, "1:0"))
        self.assertIn("no progress: 2 starts in a row have left no checkpoint after step 0 "
                      "(the latest reason: disk on fire)", self.log.read_text())
        self.assertEqual(self.starts(), [0, 0])

    def test_restarts_are_bounded(self):
        number = self.submit_stand_in("forward", environment={"SIMCLR_MAX_RESTARTS": "1"})
        job = self.finish(number, "FAILED")
        self.assertEqual((job.restarts, job.fields["ExitCode"]), (1, "75:0"))
        self.assertEqual(self.starts(), [0, 1])
        log = self.log.read_text()
        self.assertIn("restarted 1 times, the most allowed (SIMCLR_MAX_RESTARTS)", log)
        self.assertIn(f"pretrain.sbatch --data={self.data}", log)  # the command that goes on

    def test_a_crash_without_a_word_is_tried_again_and_a_hopeless_failure_is_not(self):
        crashed = self.submit_stand_in("crash")
        wait_until(lambda: self.cluster.job(crashed).restarts == 1, 30, self.log_text)
        self.assertIn("the program ended without a word", self.log.read_text())
        self.cluster.run("scancel", crashed)
        job = self.finish(self.submit_stand_in("hopeless"), "FAILED")
        self.assertEqual((job.restarts, job.fields["ExitCode"]), (0, "1:0"))
        self.assertIn("failed, and would fail again: loss of 1e9", self.log.read_text())

    def test_every_rank_has_a_core_of_its_own(self):
        if not {0, 1} <= os.sched_getaffinity(0):
            self.skipTest("this process may not use cores 0 and 1, which stand for every node's")
        self.finish(self.submit_stand_in("hopeless", "--nodes=2"), "FAILED")
        cores = [(self.run_dir / f"cores-of-rank-{rank}").read_text().strip() for rank in range(4)]
        self.assertEqual(sorted(cores[:2]), ["0", "1"])
        self.assertEqual(sorted(cores[2:]), ["0", "1"])

    def test_where_slurm_does_not_requeue_the_log_has_the_command(self):
        job = self.finish(self.submit_stand_in("forward", "--no-requeue"), "FAILED")
        self.assertEqual((job.restarts, job.fields["ExitCode"]), (0, "75:0"))
        log = self.log.read_text()
        self.assertIn("Slurm refuses to requeue this job; to go on: sbatch --nodes=1 ", log)

    def test_a_cancelled_job_stays_cancelled(self):
        number = self.submit_stand_in("sleep")
        wait_until((self.run_dir / "state.json").exists, 20, self.log_text)
        self.cluster.run("scancel", number)
        job = self.finish(number, "CANCELLED", 30)
        time.sleep(3)
        self.assertEqual((self.cluster.job(number).state, job.restarts), ("CANCELLED", 0))
        self.assertEqual(self.starts(), [0])

    def test_a_lock_of_a_job_that_has_ended_is_deleted(self):
        self.run_dir.mkdir()
        lock = self.run_dir / "lock"
        lock.write_text('{"host":"elsewhere","pid":1,"process_start":"1","job":"999999"}')
        self.finish(self.submit_stand_in("hopeless"), "FAILED")
        self.assertFalse(lock.exists())
        self.assertIn("was left by job 999999", self.log.read_text())


if __name__ == "__main__":
    main()
