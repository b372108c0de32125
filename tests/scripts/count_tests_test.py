"""scripts/count_tests.py counts the cases inside ctest's tests, also skipped ones."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from xml.sax.saxutils import escape

COUNTER = Path(__file__).resolve().parents[2] / "scripts" / "count_tests.py"


def counted(status, output, skipped=None):
    """Returns the output lines for one ctest test."""
    inner = f'<skipped message="{skipped}"/>' if skipped else ""
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as report:
        report.write(f'<testsuite><testcase name="t" status="{status}">{inner}'
                     f"<system-out>{escape(output)}</system-out></testcase></testsuite>")
        report.flush()
        done = subprocess.run([sys.executable, COUNTER, report.name], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()


def numbers(status, output, skipped=None):
    """Returns only the line of sums."""
    return counted(status, output, skipped)[-1]


class CountTests(unittest.TestCase):
    def test_a_program_without_cases_counts_as_one(self):
        self.assertEqual(counted("run", "all fine"), ["1 0 0"])
        self.assertEqual(counted("fail", "not fine"), ["failed: t", "    not fine", "0 1 0"])

    def test_cases_of_googletest(self):
        self.assertEqual(counted("run", "[  PASSED  ] 285 tests.\n"), ["285 0 0"])
        self.assertEqual(numbers("fail", "[  PASSED  ] 4 tests.\n[  FAILED  ] 2 tests, listed below:\n"), "4 2 0")
        self.assertEqual(numbers("fail", "[  PASSED  ] 0 tests.\n[  FAILED  ] 1 test, listed below:\n"), "0 1 0")

    def test_several_ranks_count_once(self):
        self.assertEqual(counted("run", "[  PASSED  ] 8 tests.\n" * 4), ["8 0 0"])

    def test_a_crash_is_a_failure_even_after_a_report_of_success(self):
        self.assertEqual(numbers("fail", "[  PASSED  ] 4 tests.\n"), "0 1 0")
        self.assertEqual(counted("fail", ""), ["failed: t", "0 1 0"])

    def test_prints_a_failure_with_the_end_of_its_output(self):
        lines = counted("fail", "".join(f"line {i}\n" for i in range(100)))
        self.assertEqual(lines[0], "failed: t")
        self.assertEqual(lines[-2:], ["    line 99", "0 1 0"])
        self.assertLess(len(lines), 60)

    def test_names_skipped_cases_of_a_test_that_passed(self):
        output = "a_test.cpp:7: Skipped\nthis CPU has no bf16\n[  PASSED  ] 9 tests.\n[  SKIPPED ] 2 tests, listed below:\n"
        self.assertEqual(counted("run", output), ["skipped: t: 2 of 11: this CPU has no bf16", "9 0 2"])
        self.assertEqual(counted("run", "Ran 13 tests in 9.1s\n\nOK (skipped=1)\n"),
                         ["skipped: t: 1 of 13", "12 0 1"])

    def test_names_skipped_tests(self):
        self.assertEqual(counted("notrun", "skipped: no data\n", "SKIP_RETURN_CODE=77"),
                         ["skipped: t: 1 of 1: no data", "0 0 1"])
        self.assertEqual(counted("notrun", "[  PASSED  ] 0 tests.\n[  SKIPPED ] 6 tests, listed below:\n",
                                 "SKIP_REGULAR_EXPRESSION_MATCHED"), ["skipped: t: 6 of 6", "0 0 6"])
        self.assertEqual(counted("disabled", "Disabled"), ["skipped: t: 1 of 1", "0 0 1"])

    def test_a_missing_program_is_a_failure(self):
        self.assertEqual(counted("notrun", "Unable to find executable: x", "Unable to find executable"),
                         ["failed: t", "    Unable to find executable: x", "0 1 0"])

    def test_cases_of_unittest(self):
        self.assertEqual(counted("run", "...\nRan 26 tests in 22.441s\n\nOK\n"), ["26 0 0"])
        self.assertEqual(numbers("fail", "Ran 26 tests in 22.441s\n\nFAILED (failures=10)\n"), "16 10 0")
        self.assertEqual(counted("fail", "Ran 9 tests in 1s\n\nFAILED (failures=1, errors=2, skipped=3)\n")[-2:],
                         ["skipped: t: 3 of 9", "3 3 3"])


if __name__ == "__main__":
    unittest.main()
