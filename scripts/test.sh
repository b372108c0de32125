#!/usr/bin/env bash
# Runs all checks that a change must pass, on a plain Debian 12 with two cores: installs packages, builds, tests, lints,
# and runs the tests labeled `asan` again under AddressSanitizer and UndefinedBehaviorSanitizer.
#   scripts/test.sh              all of this
#   scripts/test.sh --no-install do not install packages
#   scripts/test.sh --quick      only the release build and its tests
#   scripts/test.sh --all        also the slow checks: report.html in a browser, clang-tidy over the tests, hours of fuzzing,
#                                the tests again with the instruction sets of older processors (scripts/test_processors.sh),
#                                and a part of the tests with clang, with MPICH and for 64-bit ARM (scripts/test_ports.sh)
# Ends with the output of failed tests and the line "N passed, N failed, N skipped". Exits 1 if a check failed.
set -uo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac
cd "$(dirname "$0")/.." || exit 1

install=true
quick=false
all=false
for argument in "$@"; do
  case "$argument" in
    --no-install) install=false ;;
    --quick) quick=true ;;
    --all) all=true ;;
    *) echo "usage: scripts/test.sh [--no-install] [--quick | --all]" >&2; exit 2 ;;
  esac
done

. scripts/run_tests.sh
lint_log="$scratch/lint"

# build_preset PRESET CMAKE_OPTION...
build_preset() {
  local preset="$1"
  shift
  local launcher=()
  command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  cmake --preset "$preset" -DSIMCLR_WERROR=ON "${launcher[@]}" "$@" >/dev/null && cmake --build --preset "$preset" -j "$jobs"
}

if $install; then
  leg "packages"
  packages=(--with-tests --with-demo --dev)
  $all && packages=(--all)
  scripts/install_deps.sh "${packages[@]}" || fail_leg "packages"
fi

leg "build (release)"
built=true
build_preset release || built=false
# Lints while the tests run, because waiting tests leave the cores partly idle.
linted=()
$all && linted=(--all)
$quick || nice -n 19 scripts/lint.sh "${linted[@]}" >"$lint_log" 2>&1 &
if $built; then
  leg "tests (release)"
  chosen=(-LE browser) # only --all installs Chromium
  $all && chosen=()
  run_tests build "${chosen[@]}"
else
  fail_leg "release build"
fi

if ! $quick; then
  leg "lint (started with the tests)"
  wait
  cat "$lint_log"
  add_last_line "$lint_log"
  grep -B 20 FAILED "$lint_log" >>"$failures"

  leg "build (asan)"
  if build_preset asan; then
    leg "tests (asan)"
    run_tests build-asan -L asan
  else
    fail_leg "asan build"
  fi
fi

if $all && $built; then
  leg "fuzzing (long)"
  build/tests/format_fuzzer --save build/fuzz-failures || fail_leg "fuzzing"

  run_script "older processors" scripts/test_processors.sh
fi

if $all; then
  no_install=()
  $install || no_install=(--no-install)
  for port in clang mpich aarch64; do
    run_script "$port" scripts/test_ports.sh "$port" "${no_install[@]}"
  done
fi

report_tests
