"""Lost nodes: the job ends in time, names the lost rank, and continues from its newest checkpoint.

usage: fault_test.py SIMCLR [unittest arguments]
"""
import time

from cluster import wait_until
from slurm_case import BATCH, OPTIONS, SAMPLES, SlurmTest, main

STEPS_PER_EPOCH = SAMPLES // BATCH
TIMEOUT_SECONDS = 10
END_WITHIN_SECONDS = 60


class FaultCase:
    def start(self):
        """Starts a job on all nodes and freezes it after it has written a checkpoint."""
        number = self.submit(timeout_seconds=TIMEOUT_SECONDS, checkpoint_every_epochs=1)
        self.freeze_at_step(STEPS_PER_EPOCH + 1)
        return number

    def wait_for_requeue(self, number, since):
        wait_until(lambda: self.cluster.job(number).restarts == 1, END_WITHIN_SECONDS - (time.monotonic() - since),
                   lambda: f"a requeue within {END_WITHIN_SECONDS} s\n{self.log_text()}")
        self.saw(f"the job was requeued {time.monotonic() - since:.1f} s after the fault")

    def assert_resumed_from(self, step, job):
        """Checks that the job resumed from this step or a later one and did all steps."""
        self.assertEqual(job.restarts, 1)
        starts = self.starts()
        self.saw(f"starts at steps {starts}; the newest checkpoint at the fault was of step {step}")
        self.assertEqual(len(starts), 2)
        self.assertGreaterEqual(starts[1], step)
        self.assertGreater(step, 0)
        self.assertEqual(self.state()["status"], "finished")
        self.assertEqual([row["step"] for row in self.rows()], list(range(1, STEPS_PER_EPOCH * OPTIONS["epochs"] + 1)))

    def newest_step(self):
        return int(self.newest_checkpoint().stem.rpartition("-")[2])


class WatchdogTest(FaultCase, SlurmTest):
    """The program notices the fault; Slurm would need five minutes."""
    SLURMD_TIMEOUT = 300

    def lose(self, fault, heal, node, ranks):
        number = self.start()
        step, since = self.newest_step(), time.monotonic()
        fault(node)
        self.thaw()
        self.wait_for_requeue(number, since)
        state = self.state()
        self.saw(f"state.json: {state['cause']}: {state['reason']}")
        self.assertEqual((state["status"], state["cause"], state["resubmit"]), ("failed", "lost-rank", True))
        self.assertRegex(state["reason"], rf"rank {ranks} on {node}\b")
        self.assertIn(f"failed: {state['reason']}", self.log.read_text())
        heal(node)
        self.assert_resumed_from(step, self.finish(number, seconds=120))

    def test_names_a_crashed_node_and_goes_on(self):
        self.lose(self.cluster.crash, self.cluster.start_node, "n2", "[45]")

    def test_names_a_node_without_link_and_goes_on(self):
        self.lose(self.cluster.cut, self.cluster.heal, "n3", "[67]")


class SlurmTimeoutTest(FaultCase, SlurmTest):
    """The node of the batch script is lost: Slurm notices it and requeues the job."""
    SLURMD_TIMEOUT = 5

    def test_goes_on_after_a_crash_of_the_first_node(self):
        number = self.start()
        step, since = self.newest_step(), time.monotonic()
        self.cluster.crash("n0")
        self.thaw()
        self.wait_for_requeue(number, since)
        self.cluster.start_node("n0")
        self.assert_resumed_from(step, self.finish(number, seconds=120))


if __name__ == "__main__":
    main()
