#!/usr/bin/env python3
"""Counts the test cases of a ctest run from its JUnit report.

usage: count_tests.py REPORT.xml

A ctest test may have many cases (a GoogleTest program, a Python unittest). Each counts, also one that is
skipped in a test that passed. Prints skipped tests with the reason, failed tests with the end of their
output, and "PASSED FAILED SKIPPED" as the last line.
"""
import re
import sys
import xml.etree.ElementTree as tree

GTEST = {"passed": r"^\[  PASSED  \] (\d+) test", "failed": r"^\[  FAILED  \] (\d+) test",
         "skipped": r"^\[  SKIPPED \] (\d+) test"}
UNITTEST_RAN = r"^Ran (\d+) tests? in "
UNITTEST_RESULT = r"^(?:OK|FAILED) \(.*\b{}=(\d+)"
LINES_PER_FAILURE = 40
REASON = r"(?:: Skipped\n|^skipped: |\.\.\. skipped )(.+)"


def largest(pattern, text):
    """The largest number matched, since several ranks may report the same cases; 0 without a match."""
    return max((int(n) for n in re.findall(pattern, text, re.MULTILINE)), default=0)


def count_cases(output):
    """Returns (passed, failed, skipped) of the cases in a test's output; zeros if it reports none."""
    counts = [largest(GTEST[what], output) for what in ("passed", "failed", "skipped")]
    ran = largest(UNITTEST_RAN, output)
    if any(counts) or not ran:
        return counts
    failures, errors, skipped = (largest(UNITTEST_RESULT.format(what), output)
                                 for what in ("failures", "errors", "skipped"))
    failed = min(failures + errors, ran - skipped)  # several subtests of one case may fail
    return [ran - failed - skipped, failed, skipped]


def count_test(test):
    """Returns (passed, failed, skipped) of a ctest test; one that reports no cases is one case."""
    passed, failed, skipped = count_cases(test.findtext("system-out") or "")
    if test.get("status") == "fail":  # it may have crashed after reporting success
        return (passed, failed, skipped) if failed else (0, 1, 0)
    if test.get("status") == "run":
        return (passed, 0, skipped) if passed + skipped else (1, 0, 0)
    mark = test.find("skipped")
    if mark is not None and not mark.get("message", "").startswith("SKIP_"):
        return 0, 1, 0  # its program is missing
    return 0, 0, max(1, skipped)


def print_failure(test):
    mark = test.find("failure")  # names a timeout
    print(f"failed: {test.get('name')}{': ' + mark.get('message', '') if mark is not None else ''}")
    for line in (test.findtext("system-out") or "").splitlines()[-LINES_PER_FAILURE:]:
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
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.exit(print(__doc__))
    main()
