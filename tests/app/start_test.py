"""What the program does with its environment before a command begins.

usage: start_test.py SIMCLR [unittest arguments]
"""
import os
import subprocess
import sys
import unittest

SIMCLR = sys.argv[1]


def start(*arguments, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "SIMCLR_CPU_ISA"}
    return subprocess.run([SIMCLR, *arguments], env={**inherited, **environment}, capture_output=True, text=True,
                          timeout=60, check=False)


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
