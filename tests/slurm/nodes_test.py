"""Sums over the ranks of several nodes.

usage: nodes_test.py COMMUNICATOR_TEST [unittest arguments]
"""
import sys
import tempfile
import unittest

from machines import why_no_machines
from nodes import Nodes

COMMUNICATOR_TEST = sys.argv[1]


class NodesTest(unittest.TestCase):
    def test_background_sums_over_two_nodes(self):
        with tempfile.TemporaryDirectory(prefix="simclr-nodes-") as scratch, Nodes(2, scratch) as nodes:
            done = nodes.mpirun(2, [COMMUNICATOR_TEST, "--gtest_filter=*BackgroundSums*:*RanksAreOnSeveralNodes",
                                    "--gtest_also_run_disabled_tests", "--gtest_color=no"], timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("[  PASSED  ] 2 tests."), 4, done.stdout)


if __name__ == "__main__":
    WHY_NOT = why_no_machines()
    if WHY_NOT:
        print(f"skipped: {WHY_NOT}")
        sys.exit(77)
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[2:]])
