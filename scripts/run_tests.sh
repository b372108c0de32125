# Functions for the test scripts, which source this file: run ctest, count test cases, print the summary.
# shellcheck shell=bash

passed=0
failed=0
skipped=0
scratch="$(mktemp -d)"
# With automatic groups of processes, Linux 6.18 lets the ranks of one session keep all others, also those of higher
# priority, from both cores for up to a minute: tests on several "nodes" of one machine then run into their time limits.
autogroup=/proc/sys/kernel/sched_autogroup_enabled
autogroup_before="$(cat "$autogroup" 2>/dev/null)"
end_tests() {
  rm -rf "$scratch"
  [ ! -w "$autogroup" ] || echo "$autogroup_before" >"$autogroup"
}
trap end_tests EXIT
[ ! -w "$autogroup" ] || echo 0 >"$autogroup"
failures="$scratch/failures"
touch "$failures"
jobs="$(nproc)"

# leg NAME: begins a part of the run; prints the time of the part before.
leg_name=""
leg_start=0
leg() {
  [ -z "$leg_name" ] || printf '==== %s took %d s\n' "$leg_name" "$((SECONDS - leg_start))"
  leg_name="$1"
  leg_start="$SECONDS"
  printf '\n==== %s (%d s so far)\n' "$leg_name" "$SECONDS"
}

# fail_leg TEXT: counts a leg that could not run its tests as one failure.
fail_leg() {
  echo "failed: $1" | tee -a "$failures"
  failed=$((failed + 1))
}

# add_counts PASSED FAILED SKIPPED: adds to the sums; empty arguments count as one failure.
add_counts() {
  passed=$((passed + ${1:-0}))
  failed=$((failed + ${2:-1}))
  skipped=$((skipped + ${3:-0}))
}

# run_tests BUILD_DIR CTEST_OPTION...: runs ctest, adds the test cases to the sums, prints the skipped
# ones, and keeps the output of failed ones for the summary.
run_tests() {
  local build="$1" report="$1/ctest-report.xml" status=0
  shift
  rm -f "$report"
  # More jobs than cores, because many tests mostly wait for a cluster, a timeout or a crash.
  ctest --test-dir "$build" --parallel $((jobs + 2)) --output-on-failure --no-tests=error \
    --output-junit "$PWD/$report" --test-output-size-passed 1000000 \
    --test-output-size-failed 1000000 "$@" || status=$?
  if [ ! -f "$report" ]; then
    fail_leg "ctest wrote no report for $build"
    return
  fi
  local counts good bad skip
  counts="$(/usr/bin/python3 scripts/count_tests.py "$report")"
  head -n -1 <<<"$counts" | grep '^skipped: '
  head -n -1 <<<"$counts" | grep -v '^skipped: ' >>"$failures"
  read -r good bad skip < <(tail -n1 <<<"$counts")
  if [ "$status" -ne 0 ] && [ "${bad:-0}" -eq 0 ]; then
    fail_leg "ctest ended with status $status in $build"
  fi
  add_counts "$good" "$bad" "$skip"
}

# add_last_line FILE: adds the counts of its last line, "N passed, N failed[, N skipped]".
add_last_line() {
  local good bad skip
  read -r good _ bad _ skip _ < <(tail -n1 "$1")
  add_counts "$good" "$bad" "$skip"
}

# run_script LEG COMMAND...: runs a test script as a leg; adds its sums, keeps its failures for the summary.
run_script() {
  leg "$1"
  shift
  "$@" | tee "$scratch/script"
  sed -n '/==== done/,$p' "$scratch/script" | head -n -1 | tail -n +2 >>"$failures"
  add_last_line "$scratch/script"
}

# report_tests: prints the failures with their output and the line of sums. Fails if a test failed.
report_tests() {
  leg "done"
  cat "$failures"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ]
}
