"""What the program does with its environment before a command begins.

usage: start_test.py SIMCLR [unittest arguments]
"""
import os
import re
import subprocess
import sys
import unittest

SIMCLR = sys.argv[1]
POLICIES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def start(*arguments, **environment):
    inherited = {name: value for name, value in os.environ.items() if name not in (*POLICIES, "SIMCLR_CPU_ISA")}
    return subprocess.run([SIMCLR, *arguments], env={**inherited, **environment}, capture_output=True, text=True,
                          timeout=60, check=False)


class WaitingTest(unittest.TestCase):
    """Returns the spin counts that OpenMP's runtime prints each time it is loaded."""

    def spin_counts(self, **environment):
        done = start("--version", OMP_DISPLAY_ENV="verbose", **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith("simclr "), done.stdout)
        return re.findall(r"GOMP_SPINCOUNT = '(\w+)'", done.stderr)

    def test_threads_spin_for_a_bounded_time(self):
        counts = self.spin_counts()
        self.assertEqual(len(counts), 2)
        self.assertEqual(counts[1], "1000")

    def test_the_environment_takes_precedence(self):
        self.assertEqual(self.spin_counts(GOMP_SPINCOUNT="77"), ["77"])
        self.assertEqual(len(self.spin_counts(OMP_WAIT_POLICY="passive")), 1)
        self.assertEqual(len(self.spin_counts(OMP_WAIT_POLICY="active")), 1)

    def test_arguments_and_exit_code_stay(self):
        for policy in ({}, {"OMP_WAIT_POLICY": "passive"}):
            done = start("no such command", **policy)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"^simclr: error: unknown command 'no such command'[^\n]*\n$")


class InstructionSetTest(unittest.TestCase):
    def test_an_unavailable_instruction_set_is_refused(self):
        done = start("plan", SIMCLR_CPU_ISA="x86-64-v9")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^simclr: error: SIMCLR_CPU_ISA=x86-64-v9 is not among this machine's instruction "
                                      r"sets: baseline[^\n]*\n$")

    def test_every_available_instruction_set_is_accepted(self):
        names = start("plan", SIMCLR_CPU_ISA="none").stderr.split(": ")[-1].strip().split(", ")
        self.assertEqual(names[0], "baseline")
        for name in names:
            self.assertEqual(start("plan", "--help", SIMCLR_CPU_ISA=name).returncode, 0, name)


if __name__ == "__main__":
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[2:]])
