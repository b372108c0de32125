#!/usr/bin/env bash
# Builds the program with another compiler, another MPI or for another processor, each in a folder of its own, and runs
# the tests that would show the difference.
#   scripts/test_ports.sh clang      clang 16 with LLVM's OpenMP runtime
#   scripts/test_ports.sh mpich      Debian's MPICH, with the parallel HDF5 built for it
#   scripts/test_ports.sh aarch64    64-bit ARM: cross-compiled, under QEMU. Unpacks Debian's libraries for ARM (130 MB) into
#                                    build-aarch64/sysroot, which needs no root and changes nothing in the system
#   ... NAME --no-install            does not download them
# scripts/install_deps.sh --all installs the compilers, MPICH and QEMU; without them the tests count as one, skipped.
# Ends with the line "N passed, N failed, N skipped"; exits 1 if a test failed.
set -uo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac
cd "$(dirname "$0")/.." || exit 1
port="${1:-}"
install=true
[ "${2:-}" = --no-install ] && install=false && shift
if [ $# -ne 1 ] || [[ ! "$port" =~ ^(clang|mpich|aarch64)$ ]]; then
  echo "usage: scripts/test_ports.sh clang|mpich|aarch64 [--no-install]" >&2
  exit 2
fi
. scripts/run_tests.sh
build="build-$port"

# skip REASON: ends the script, with all its tests counted as one that is skipped.
skip() {
  echo "skipped: $port: $1"
  skipped=1
  report_tests
  exit
}

needs() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null || skip "there is no $program (scripts/install_deps.sh --all)"
  done
}

# unpack_sysroot: downloads the ARM packages of the libraries that the program is built with, and all that these need.
# A private state of apt takes the system's sources, but knows of no installed package.
unpack_sysroot() {
  local state="$PWD/$build/apt" root="$PWD/$build/sysroot" packages package
  mapfile -t packages < <(scripts/install_deps.sh --with-tests --list | sed -n 's/^\([a-z0-9-]*-dev\) .*/\1/p')
  mkdir -p "$state/lists/partial" "$state/archives/partial" "$root.new"
  : >"$state/status"
  local apt=(apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$state" -o "Dir::Cache=$state"
    -o "Dir::State::status=$state/status" -o Acquire::Languages=none -o APT::Install-Recommends=false -o Debug::NoLocking=true)
  "${apt[@]}" update && "${apt[@]}" install -y --download-only "${packages[@]}" || return 1
  for package in "$state"/archives/*.deb; do
    dpkg -x "$package" "$root.new" || return 1
  done
  rm -r "$state"
  mv "$root.new" "$root"
}

options=()
kernels=(augment_test kernels_test parity_test batch_norm_test batch_norm_sums_test nt_xent_test top_k_test)
ranks=(communicator_test communication_test network_ranks_test)
runs=(simclr make_checkpoint)
# Whole runs: restarts bit for bit, 1, 2 and 4 ranks, signals, lost ranks, evaluations.
tests=(pretrain_test evaluation_embed_on_ranks evaluation_knn evaluation_linear_cached)
left_out=cuda
case "$port" in
  clang)
    needs clang++-16
    options=(-DCMAKE_C_COMPILER=clang-16 -DCMAKE_CXX_COMPILER=clang++-16)
    kernels+=(optimizer_test network_gradient_test)
    ;;
  mpich)
    needs mpicc.mpich mpiexec.mpich
    pkg-config --exists hdf5-mpich || skip "there is no hdf5-mpich (scripts/install_deps.sh --all)"
    options=(-DMPI_C_COMPILER=mpicc.mpich)
    kernels=()
    ;;
  aarch64)
    needs aarch64-linux-gnu-g++ qemu-aarch64
    if [ ! -d "$build/sysroot" ]; then
      $install || skip "there is no $build/sysroot, and nothing is to be downloaded"
      leg "packages (aarch64)"
      if ! unpack_sysroot; then
        fail_leg "packages for aarch64 cannot be downloaded"
        report_tests
        exit
      fi
    fi
    options=(--toolchain cmake/aarch64.cmake)
    ranks=()
    runs=(simclr render_cases)
    tests=(augment_oracle bench_op$ bench_step$) # torchvision's pixels; whole training steps
    left_out='cuda|x86-64|avx2|baseline'         # other processors; the baseline is ARM's only instruction set
    ;;
esac

command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
targets=("${kernels[@]}" "${ranks[@]}" "${runs[@]}")
tests+=("${kernels[@]}" "${ranks[@]}")
names="$(IFS='|'; echo "${tests[*]}")"

leg "build ($port)"
if cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON -DSIMCLR_CUDA=OFF -DSIMCLR_WERROR=ON \
  "${options[@]}" >"$scratch/configure" && cmake --build "$build" -j "$jobs" --target "${targets[@]}"; then
  leg "tests ($port)"
  run_tests "$build" -R "^($names)" -E "$left_out"
else
  cat "$scratch/configure"
  fail_leg "$port build"
fi
report_tests
