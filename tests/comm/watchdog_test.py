"""The watchdog over real ranks: which rank is blamed, which ends the job, and when none is blamed.

usage: watchdog_test.py WATCHDOG_RANKS MPIEXEC [unittest arguments]
"""
import os
import re
import signal
import subprocess
import sys
import time
import unittest

PROGRAM, MPIEXEC = sys.argv[1:3]
TIMEOUT = 40  # seconds: several times what the slowest scenario takes


class WatchdogTest(unittest.TestCase):
    def start(self, ranks, scenario, timeout=2, launcher=()):
        process = subprocess.Popen([MPIEXEC, *launcher, "-n", str(ranks), PROGRAM, scenario,
                                    str(timeout)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        return process

    def end(self, process):
        out, err = process.communicate(timeout=TIMEOUT)
        errors = [line for line in err.splitlines() if line.startswith("simclr: error:")]
        return process.returncode, out, errors

    def assert_blames(self, ranks, scenario, message, cause, handler=0, **options):
        code, out, errors = self.end(self.start(ranks, scenario, **options))
        self.assertEqual(code == 0, "launcher" in options)  # a launcher with recovery hides exit codes
        self.assertTrue(errors, out)
        self.assertRegex(errors[0], message)
        self.assertIn(f"handled on rank {handler}: {cause}", out)
        return errors

    def pids(self, process, ranks):
        lines = [re.fullmatch(r"(\d+) is (\d+)", process.stdout.readline().strip()) for _ in range(ranks)]
        return {int(line.group(1)): int(line.group(2)) for line in lines}

    # ---- stalled ----

    def test_names_the_rank_that_hangs_in_an_op_and_not_those_that_wait(self):
        for ranks in (2, 4):
            with self.subTest(ranks=ranks):
                late = ranks - 1
                errors = self.assert_blames(
                    ranks, "hang", rf"rank {late} on \S+ is late at step 7, op 0 \(conv_forward stem\): nothing has "
                    r"moved for 2 s .*; rank 0 is at step 7, op 1 \(all_reduce stem\), waiting in MPI_Barrier", "stalled")
                self.assertEqual(len(errors), 1)
                self.assertEqual(errors[0].count("is late"), 1)

    def test_names_ranks_that_wait_for_each_other_together(self):
        self.assert_blames(2, "mismatch", r"no rank is behind the others: all 2 are at step 7, op 0 .*"
                           r"waiting in MPI_Barrier", "stalled")

    # ---- lost ----

    def test_names_a_silent_rank(self):
        for ranks in (2, 4):
            with self.subTest(ranks=ranks):
                errors = self.assert_blames(ranks, "stop", rf"rank {ranks - 1} on \S+ is lost at step 7, op 0 .*: "
                                            r"nothing heard from it for \d+ s", "lost-rank")
                self.assertEqual(len(errors), 1)

    def test_other_ranks_name_a_silent_rank_0(self):
        self.assert_blames(4, "stop-root", r"rank [123] on \S+: rank 0 on \S+ is lost at step 7", "lost-rank", handler=1)

    def test_names_a_dead_rank_at_once(self):
        # With recovery enabled, the launcher does not end the job by itself.
        start = time.monotonic()
        self.assert_blames(3, "die", r"rank 2 on \S+ is lost at step 7, .*its process has ended", "lost-rank",
                           timeout=20, launcher=["--mca", "orte_enable_recovery", "1"])
        self.assertLess(time.monotonic() - start, 15)

    def test_a_rank_whose_communication_failed_waits_for_the_watchdog(self):
        self.assert_blames(3, "wait-for-verdict", r"rank 2 on \S+ is lost", "lost-rank")

    def test_names_a_rank_that_was_silent_before_the_launcher_ended_the_job(self):
        process = self.start(3, "live", timeout=30)
        pids = self.pids(process, 3)
        os.kill(pids[1], signal.SIGSTOP)
        time.sleep(5)  # five heartbeats
        for rank in (0, 2):
            os.kill(pids[rank], signal.SIGTERM)
        start = time.monotonic()
        _, out, errors = self.end(process)
        self.assertLess(time.monotonic() - start, 15)
        self.assertRegex(errors[0], r"rank 1 on \S+ is lost at step 7")
        self.assertIn("handled on rank 0: lost-rank", out)

    # ---- no fault ----

    def test_ranks_may_finish_at_any_time(self):
        for ranks in (1, 4):
            with self.subTest(ranks=ranks):
                self.assertEqual(self.end(self.start(ranks, "work", timeout=3)), (0, "", []))

    def test_does_not_take_a_failing_rank_for_dead(self):
        code, out, errors = self.end(self.start(3, "fail-slowly"))
        self.assertEqual((code, out, errors), (3, "", []))

    def test_blames_no_rank_when_the_launcher_ends_the_job(self):
        for first in (0, 2):
            with self.subTest(first=first):
                process = self.start(3, "live", timeout=10, launcher=["--mca", "orte_enable_recovery", "1"])
                pids = self.pids(process, 3)
                for rank in pids.values():
                    os.kill(rank, signal.SIGTERM)
                time.sleep(0.5)
                os.kill(pids.pop(first), signal.SIGKILL)
                time.sleep(2)
                for rank in pids.values():
                    os.kill(rank, signal.SIGKILL)
                _, out, errors = self.end(process)
                self.assertEqual((out, errors), ("", []))

    def test_a_suspended_job_goes_on(self):
        process = self.start(3, "be-suspended")
        ranks = self.pids(process, 3).values()
        for signal_number, seconds in ((signal.SIGSTOP, 5), (signal.SIGCONT, 0)):
            for rank in ranks:
                os.kill(rank, signal_number)
            time.sleep(seconds)
        self.assertEqual(self.end(process), (0, "", []))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
