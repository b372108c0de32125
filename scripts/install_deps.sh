#!/usr/bin/env bash
# Installs what simclr needs from the packages of Debian 12 or of Ubuntu 24.04 or 22.04. Safe to run again: what is
# there stays. CUDA, cuDNN and NCCL are never installed: they come with the machine's own toolkit.
# Nothing that is installed is started.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/install_deps.sh [--with-tests] [--with-demo] [--dev] [--all] [--list]
  (nothing)     compilers and libraries that building and running need
  --with-tests  also what the tests compare with and run on: GoogleTest, PyTorch, h5py, Fashion-MNIST, Slurm
  --with-demo   also what scripts/quickstart.sh needs: Fashion-MNIST, Python
  --dev         also what keeps the code in shape: clang-format, clang-tidy, shellcheck, ccache
  --all         all of these, and what scripts/test.sh --all needs besides: Chromium
  --list        print the packages and why, install nothing
TEXT
}

build=(
  "g++: C++20 compiler (GCC 11 or newer)"
  "cmake: build system, 3.25 or newer"
  "ninja-build: runs the build"
  "pkg-config: finds HDF5 and xxHash"
  "git: the binary records the commit it was built from"
  "openmpi-bin: mpirun"
  "libopenmpi-dev: MPI"
  "libhdf5-openmpi-dev: parallel HDF5, for shards and checkpoints"
  "libdnnl-dev: oneDNN, convolutions and matrix products on the CPU"
  "libboost-program-options-dev: command line and configuration files"
  "libspdlog-dev: log lines (brings fmt)"
  "nlohmann-json3-dev: metrics, state and results"
  "libxxhash-dev: checksums"
  "libjpeg-dev: reads JPEG images (libjpeg-turbo)"
  "libpng-dev: reads and writes PNG images"
  "zlib1g-dev: reads .gz data sets"
)
demo=(
  "dataset-fashion-mnist: real images to train on"
  "python3: prints the table of accuracies"
)
tests=(
  "libgtest-dev: GoogleTest"
  "g++-aarch64-linux-gnu: shows that vector code compiles for 64-bit ARM, too"
  "dataset-fashion-mnist: real images for end-to-end tests"
  "python3: drives end-to-end tests"
  "python3-numpy: reads what the program wrote"
  "python3-h5py: reads and writes shards without this program"
  "python3-xxhash: checksums of checkpoints that tests write"
  "python3-pil: makes image files for tests"
  "python3-matplotlib: plots the study's table"
  "python3-yaml: reads the Spack environment"
  "python3-torch: the independent implementation that results are compared with"
  "python3-torchvision: reference encoders and augmentations"
  "slurmctld: a cluster of several nodes on one machine, on which job scripts are tested"
  "slurmd: its nodes"
  "slurm-client: sbatch, srun, squeue"
  "slurm-wlm-basic-plugins: Slurm's plug-ins, PMIx among them"
  "munge: authentication of Slurm's daemons"
  "iproute2: networks of the nodes"
  "util-linux: namespaces of the nodes"
  "procps: ps and pgrep"
  "bc: arithmetic of test scripts"
)
dev=(
  "clang-format: one layout for all code"
  "clang-tidy-16: static checks (14 does not know std::source_location)"
  "libomp-16-dev: the omp.h that clang-tidy-16 reads"
  "shellcheck: checks of shell scripts"
  "ccache: faster rebuilds"
)
all=(
  "chromium: a browser, in which report.html is tested"
)

wanted=("${build[@]}")
list_only=false
for argument in "$@"; do
  case "$argument" in
    --with-tests) wanted+=("${tests[@]}") ;;
    --with-demo) wanted+=("${demo[@]}") ;;
    --dev) wanted+=("${dev[@]}") ;;
    --all) wanted+=("${tests[@]}" "${demo[@]}" "${dev[@]}" "${all[@]}") ;;
    --list) list_only=true ;;
    -h | --help) usage; exit 0 ;;
    *) echo "install_deps.sh: unknown option $argument" >&2; usage >&2; exit 2 ;;
  esac
done

# ---- the system -------------------------------------------------------------------------------------
root="${SIMCLR_INSTALL_ROOT:-}" # what stands for / in tests

# Package names are the same on all of them. `absent` are those that a system does not have, each with what to do
# without it; nothing else may be missing.
# shellcheck source=/dev/null
system="$(. "$root/etc/os-release" && echo "${ID:-} ${VERSION_ID:-}")"
absent=()
case "$system" in
  "debian 12") ;;
  "ubuntu 24.04")
    absent=(
      "python3-torch: for the oracle tests install it from PyPI, and name that Python with -DSIMCLR_PYTHON"
      "python3-torchvision: as python3-torch"
      "chromium: comes as a snap only; without it the tests labeled browser are skipped"
    )
    ;;
  "ubuntu 22.04")
    absent=(
      "cmake: 3.22 there is too old; python3 -m pip install cmake brings a newer one"
      "clang-tidy-16: the checks of scripts/lint.sh need it, from apt.llvm.org"
      "libomp-16-dev: as clang-tidy-16"
      "chromium: comes as a snap only; without it the tests labeled browser are skipped"
    )
    ;;
  *)
    echo "install_deps.sh: knows Debian 12 and Ubuntu 24.04 and 22.04, not this system ($system)." >&2
    echo "Under whatever name it has them, it needs (jobs/spack/spack.yaml builds them elsewhere):" >&2
    printf '%s\n' "${wanted[@]}" | sort -u -t: -k1,1 | sed 's/^/  /' >&2
    exit 2
    ;;
esac

is_absent() {
  local one
  for one in "${absent[@]}"; do
    [ "${one%%:*}" != "$1" ] || return 0
  done
  return 1
}

is_installed() {
  [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null || true)" = "ii " ]
}

missing=()
while IFS=: read -r package reason; do
  if is_absent "$package"; then
    state="absent"
  elif is_installed "$package"; then
    state="there"
  else
    state="missing"
    missing+=("$package")
  fi
  printf '%-30s %-8s%s\n' "$package" "$state" "$reason"
done < <(printf '%s\n' "${wanted[@]}" | sort -u -t: -k1,1)

wanted_names="$(printf '%s\n' "${wanted[@]%%:*}")"
for one in "${absent[@]}"; do
  grep -qxF "${one%%:*}" <<<"$wanted_names" || continue
  echo "install_deps.sh: not a package of this system: $one"
done

# ---- installing -------------------------------------------------------------------------------------
as_root=()
if [ "$(id -u)" -ne 0 ] && command -v sudo >/dev/null; then
  as_root=(sudo)
fi

# Services that are installed must not be started, above all not in containers, where starting one can fail the whole
# installation. Debian asks this file.
policy="$root/usr/sbin/policy-rc.d"
forbid_starting_services() {
  [ ! -e "$policy" ] || return 0
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod +x "$policy"
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
}

require_cmake() {
  local version
  version="$(cmake --version 2>/dev/null | sed -n 's/^cmake version //p' || true)"
  if [ -z "$version" ] || ! printf '3.25\n%s\n' "$version" | sort -C -V; then
    echo "install_deps.sh: cmake 3.25 or newer is needed, here is ${version:-none}: python3 -m pip install cmake" >&2
    exit 1
  fi
}

$list_only && exit 0
if [ ${#missing[@]} -eq 0 ]; then
  echo "install_deps.sh: everything is there"
elif [ "$(id -u)" -ne 0 ] && [ ${#as_root[@]} -eq 0 ]; then
  echo "install_deps.sh: run as root (no sudo here): apt-get install ${missing[*]}" >&2
  exit 1
else
  echo "install_deps.sh: installing ${missing[*]}"
  forbid_starting_services
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}"
fi
require_cmake
