#!/usr/bin/env bash
# Runs the tests of build/ again as lesser processors would: under every instruction set below this machine's own that
# the program and oneDNN know, and with one and three threads where the tests take two. What a test asserts has to hold
# under every rounding.
#   scripts/test_processors.sh [CTEST_OPTION...]      e.g. -R replay; build/ is made by scripts/test.sh
# Tests of Slurm, of the emulated device and of packages are left out: none of them depends on the CPU's kernels.
# Ends with the line "N passed, N failed, N skipped"; exits 1 if anything failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/run_tests.sh

# oneDNN's name for an instruction set of the program's.
onednn_set() {
  case "$1" in
    baseline) echo SSE41 ;;
    x86-64-v3) echo AVX2 ;;
    x86-64-v4) echo AVX512_CORE ;;
    *) echo ALL ;;
  esac
}

# The sets of this machine, lowest first: the program names them where it is asked for one that does not exist.
read -ra sets < <(SIMCLR_CPU_ISA=none build/simclr plan 2>&1 | sed -n 's/.*instruction sets: //p' | tr -d ,)
if [ ${#sets[@]} -eq 0 ]; then
  echo "test_processors.sh: build/simclr does not run; scripts/test.sh builds it" >&2
  exit 2
fi
unset 'sets[-1]' # scripts/test.sh has run that one

again() {
  local name="$1"
  shift
  leg "tests as on $name"
  run_tests build -LE 'slurm|emulated|cuda|browser' -E '^(packaging|scripts)' "$@"
}

for set in "${sets[@]}"; do
  export SIMCLR_CPU_ISA="$set" DNNL_MAX_CPU_ISA ONEDNN_MAX_CPU_ISA
  DNNL_MAX_CPU_ISA="$(onednn_set "$set")"
  ONEDNN_MAX_CPU_ISA="$DNNL_MAX_CPU_ISA"
  again "$set" "$@"
done
unset SIMCLR_CPU_ISA DNNL_MAX_CPU_ISA ONEDNN_MAX_CPU_ISA

for threads in 1 3; do
  export SIMCLR_TEST_THREADS="$threads"
  again "$threads threads" -L 'unit|mpi' "$@"
done

report_tests
