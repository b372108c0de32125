# What the test scripts share: running ctest, counting case by case, and the last words. To be sourced.
# shellcheck shell=bash

passed=0
failed=0
skipped=0
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
failures="$scratch/failures"
touch "$failures"
jobs="$(nproc)"

# leg NAME: what follows is about this; the time of the leg before is printed.
leg_name=""
leg_start=0
leg() {
  [ -z "$leg_name" ] || printf '==== %s took %d s\n' "$leg_name" "$((SECONDS - leg_start))"
  leg_name="$1"
  leg_start="$SECONDS"
  printf '\n==== %s (%d s so far)\n' "$leg_name" "$SECONDS"
}

# fail_leg TEXT: a leg that could not even run its tests counts as one failure.
fail_leg() {
  echo "failed: $1" | tee -a "$failures"
  failed=$((failed + 1))
}

# add_counts PASSED FAILED SKIPPED: a leg that says nothing of its tests counts as one failure.
add_counts() {
  passed=$((passed + ${1:-0}))
  failed=$((failed + ${2:-1}))
  skipped=$((skipped + ${3:-0}))
}

# run_tests BUILD_DIR CTEST_OPTION...: adds the cases that ctest's report shows to the sum, names those
# that were skipped, and keeps the end of what failed for the last words.
run_tests() {
  local build="$1" report="$1/ctest-report.xml" status=0
  shift
  rm -f "$report"
  # More than there are cores: many tests mostly wait, for a cluster, a time-out or a crash.
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

# add_last_line FILE: adds what its last line says, "N passed, N failed[, N skipped]".
add_last_line() {
  local good bad skip
  read -r good _ bad _ skip _ < <(tail -n1 "$1")
  add_counts "$good" "$bad" "$skip"
}

# report_tests: what failed, and why, and the line of sums. Fails if anything did.
report_tests() {
  leg "done"
  cat "$failures"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ]
}
