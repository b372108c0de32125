#!/usr/bin/env python3
"""Counts what a ctest run has shown, case by case, from its JUnit report.

usage: count_tests.py REPORT.xml

A ctest test may hold many cases (a GoogleTest program, a Python unittest): each counts, also those
skipped inside a test that passed, so that nothing is left out silently. Names what was skipped and
why, and what failed with the end of its output, then writes "PASSED FAILED SKIPPED" as its last line.
"""
import re
import sys
import xml.etree.ElementTree as tree

GTEST = {"passed": r"^\[  PASSED  \] (\d+) test", "failed": r"^\[  FAILED  \] (\d+) test",
         "skipped": r"^\[  SKIPPED \] (\d+) test"}
UNITTEST_RAN = r"^Ran (\d+) tests? in "
UNITTEST_RESULT = r"^(?:OK|FAILED) \(.*\b{}=(\d+)"
LINES_OF_A_FAILURE = 40
REASON = r"(?:: Skipped\n|^skipped: |\.\.\. skipped )(.+)"


def largest(pattern, text):
    """Of several ranks' reports, which may say the same; 0 where there is none."""
    return max((int(n) for n in re.findall(pattern, text, re.MULTILINE)), default=0)


def count_cases(output):
    """(passed, failed, skipped) of the cases that a test reports; zeros where it has none."""
    counts = [largest(GTEST[what], output) for what in ("passed", "failed", "skipped")]
    ran = largest(UNITTEST_RAN, output)
    if any(counts) or not ran:
        return counts
    failures, errors, skipped = (largest(UNITTEST_RESULT.format(what), output)
                                 for what in ("failures", "errors", "skipped"))
    failed = min(failures + errors, ran - skipped)  # parts of one case may fail each
    return [ran - failed - skipped, failed, skipped]


def count_test(test):
    """The same of one ctest test, which is one case itself where it reports none."""
    passed, failed, skipped = count_cases(test.findtext("system-out") or "")
    if test.get("status") == "fail":  # a crash may follow a report of success
        return (passed, failed, skipped) if failed else (0, 1, 0)
    if test.get("status") == "run":
        return (passed, 0, skipped) if passed + skipped else (1, 0, 0)
    mark = test.find("skipped")
    if mark is not None and not mark.get("message", "").startswith("SKIP_"):
        return 0, 1, 0  # its program is missing
    return 0, 0, max(1, skipped)


def print_failure(test):
    mark = test.find("failure")  # says so where it was a time-out
    print(f"failed: {test.get('name')}{': ' + mark.get('message', '') if mark is not None else ''}")
    for line in (test.findtext("system-out") or "").splitlines()[-LINES_OF_A_FAILURE:]:
        print(f"    {line}")


def main():
    total = [0, 0, 0]
    for test in tree.parse(sys.argv[1]).getroot().iter("testcase"):
        counts = count_test(test)
        total = [a + b for a, b in zip(total, counts)]
        if counts[1]:
            print_failure(test)
        if counts[2]:
            reason = re.search(REASON, test.findtext("system-out") or "", re.MULTILINE)
            print(f"skipped: {test.get('name')}: {counts[2]} of {sum(counts)}"
                  f"{': ' + reason.group(1).strip() if reason else ''}")
    print(*total)


if __name__ == "__main__":
    main()
