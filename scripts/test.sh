#!/usr/bin/env bash
# Everything a change has to pass, on a plain Debian 12 with two cores: install, build, test, lint,
# and the tests labelled `asan` again under AddressSanitizer and UndefinedBehaviorSanitizer.
#   scripts/test.sh              all of it
#   scripts/test.sh --no-install leave the system's packages alone
#   scripts/test.sh --quick      release build and its tests only
# Ends with what failed, and why, and a last line: "N passed, N failed, N skipped". Exits 1 if anything
# failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

install=true
quick=false
for argument in "$@"; do
  case "$argument" in
    --no-install) install=false ;;
    --quick) quick=true ;;
    *) echo "usage: scripts/test.sh [--no-install] [--quick]" >&2; exit 2 ;;
  esac
done

passed=0
failed=0
skipped=0
jobs="$(nproc)"
failures="$(mktemp)"
lint_log="$(mktemp)"
trap 'rm -f "$failures" "$lint_log"' EXIT

leg() { printf '\n==== %s (%d s so far)\n' "$1" "$SECONDS"; }

# fail_leg TEXT: a leg that could not even run its tests counts as one failure.
fail_leg() {
  echo "failed: $1" | tee -a "$failures"
  failed=$((failed + 1))
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
  passed=$((passed + ${good:-0}))
  failed=$((failed + ${bad:-1}))
  skipped=$((skipped + ${skip:-0}))
}

# build_preset PRESET CMAKE_OPTION...
build_preset() {
  local preset="$1"
  shift
  local launcher=()
  command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  cmake --preset "$preset" "${launcher[@]}" "$@" >/dev/null && cmake --build --preset "$preset" -j "$jobs"
}

if $install; then
  leg "packages"
  scripts/install_deps.sh --with-tests --with-demo --dev || fail_leg "packages"
fi

leg "build (release)"
built=true
build_preset release || built=false
# Tests that wait leave the cores idle for a good part of their time.
$quick || nice -n 19 scripts/lint.sh >"$lint_log" 2>&1 &
if $built; then
  leg "tests (release)"
  run_tests build -LE browser  # Chromium is not installed for it
else
  fail_leg "release build"
fi

if ! $quick; then
  leg "lint, begun beside the tests"
  wait
  cat "$lint_log"
  read -r ok _ bad _ < <(tail -n1 "$lint_log")
  passed=$((passed + ${ok:-0}))
  failed=$((failed + ${bad:-1}))
  grep -B 20 FAILED "$lint_log" >>"$failures"

  leg "build (asan)"
  if build_preset asan; then
    leg "tests (asan)"
    run_tests build-asan -L asan
  else
    fail_leg "asan build"
  fi
fi

leg "done"
cat "$failures"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
