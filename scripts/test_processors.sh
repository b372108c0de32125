#!/usr/bin/env bash
# Runs the tests of build/ again as on older processors: with every instruction set below this machine's that the
# program and oneDNN know, and with one and three threads instead of two. The tests must pass with any rounding.
#   scripts/test_processors.sh [CTEST_OPTION...]      e.g. -R replay; scripts/test.sh makes build/
# Leaves out tests of Slurm, of the emulated device and of packages, which do not depend on the CPU's kernels.
# Ends with the line "N passed, N failed, N skipped"; exits 1 if a test failed.
set -uo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac
cd "$(dirname "$0")/.." || exit 1
. scripts/run_tests.sh

# onednn_set NAME: oneDNN's name for an instruction set of the program.
onednn_set() {
  case "$1" in
    baseline) echo SSE41 ;;
    x86-64-v3) echo AVX2 ;;
    x86-64-v4) echo AVX512_CORE ;;
    *) echo ALL ;;
  esac
}

# The sets of this machine, lowest first: the program lists them when it refuses an unknown one.
read -ra sets < <(SIMCLR_CPU_ISA=none build/simclr plan 2>&1 | sed -n 's/.*instruction sets: //p' | tr -d ,)
if [ ${#sets[@]} -eq 0 ]; then
  echo "test_processors.sh: build/simclr does not run; scripts/test.sh builds it" >&2
  exit 2
fi
unset 'sets[-1]' # scripts/test.sh has run the highest set

run_again() {
  local name="$1"
  shift
  leg "tests as on $name"
  run_tests build -LE 'slurm|emulated|cuda|browser' -E '^(packaging|scripts)' "$@"
}

for set in "${sets[@]}"; do
  export SIMCLR_CPU_ISA="$set" DNNL_MAX_CPU_ISA ONEDNN_MAX_CPU_ISA
  DNNL_MAX_CPU_ISA="$(onednn_set "$set")"
  ONEDNN_MAX_CPU_ISA="$DNNL_MAX_CPU_ISA"
  run_again "$set" "$@"
done
unset SIMCLR_CPU_ISA DNNL_MAX_CPU_ISA ONEDNN_MAX_CPU_ISA

for threads in 1 3; do
  export SIMCLR_TEST_THREADS="$threads"
  run_again "$threads threads" -L 'unit|mpi' "$@"
done

report_tests
