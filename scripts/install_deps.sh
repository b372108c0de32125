#!/usr/bin/env bash
# Installs the packages that simclr needs on Debian 12, Ubuntu 24.04 or 22.04. Safe to run again: installed packages
# stay as they are. Does not install CUDA, cuDNN and NCCL, which come with the machine's own toolkit. Does not start
# installed services.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/install_deps.sh [--with-tests] [--with-demo] [--dev] [--all] [--list]
  (no option)   install compilers and libraries for building and running
  --with-tests  also install what the tests need: GoogleTest, PyTorch, h5py, Fashion-MNIST, Slurm
  --with-demo   also install what scripts/quickstart.sh needs: Fashion-MNIST, Python
  --dev         also install tools for developers: clang-format, clang-tidy, shellcheck, ccache
  --all         install all of these, and what only scripts/test.sh --all needs: Chromium, clang, MPICH, QEMU
  --list        print the packages with their purpose and install nothing
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
  "libeigen3-dev: eigenvalues of symmetric matrices, for the command quality (headers only)"
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
  "python3-numpy: reads the program's output"
  "python3-h5py: reads and writes shards without this program"
  "python3-xxhash: checksums of checkpoints that tests write"
  "python3-pil: makes image files for tests"
  "python3-yaml: reads the Spack environment"
  "python3-torch: an independent implementation, with which results are compared"
  "python3-torchvision: reference encoders and augmentations"
  "slurmctld: a cluster of several nodes on one machine, for tests of job scripts"
  "slurmd: its nodes"
  "slurm-client: sbatch, srun, squeue"
  "slurm-wlm-basic-plugins: Slurm's plug-ins, such as PMIx"
  "munge: authentication of Slurm's daemons"
  "iproute2: networks of the nodes"
  "util-linux: namespaces of the nodes"
  "procps: ps and pgrep"
  "bc: arithmetic of test scripts"
)
dev=(
  "clang-format: one layout for all code"
  "clang-tidy-16: static checks (version 14 lacks std::source_location)"
  "libomp-16-dev: omp.h for clang-tidy-16"
  "shellcheck: checks of shell scripts"
  "ccache: faster rebuilds"
)
all=(
  "chromium: a browser for tests of report.html"
  "clang-16: another compiler"
  "mpich: another MPI"
  "libhdf5-mpich-dev: parallel HDF5 for MPICH"
  "qemu-user: runs tests that are compiled for 64-bit ARM"
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

# ---- the system ----
root="${SIMCLR_INSTALL_ROOT:-}" # replaces / in tests

# Package names are the same on all these systems. `absent` lists the packages that a system lacks, each with what to
# do instead.
# shellcheck source=/dev/null
system="$(. "$root/etc/os-release" && echo "${ID:-} ${VERSION_ID:-}")"
absent=()
case "$system" in
  "debian 12") ;;
  "ubuntu 24.04")
    absent=(
      "python3-torch: for the oracle tests install it from PyPI, and name that Python with -DSIMCLR_PYTHON"
      "python3-torchvision: like python3-torch"
      "chromium: exists only as a snap; without it the tests labeled browser are skipped"
    )
    ;;
  "ubuntu 22.04")
    absent=(
      "cmake: version 3.22 is too old; python3 -m pip install cmake installs a newer one"
      "clang-tidy-16: scripts/lint.sh needs it; install it from apt.llvm.org"
      "libomp-16-dev: like clang-tidy-16"
      "clang-16: like clang-tidy-16"
      "chromium: exists only as a snap; without it the tests labeled browser are skipped"
    )
    ;;
  *)
    echo "install_deps.sh: this system ($system) is none of Debian 12, Ubuntu 24.04 and Ubuntu 22.04." >&2
    echo "Install these packages, which may have other names here, or build them with jobs/spack/spack.yaml:" >&2
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
    state="present"
  else
    state="missing"
    missing+=("$package")
  fi
  printf '%-30s %-9s%s\n' "$package" "$state" "$reason"
done < <(printf '%s\n' "${wanted[@]}" | sort -u -t: -k1,1)

wanted_names="$(printf '%s\n' "${wanted[@]%%:*}")"
for one in "${absent[@]}"; do
  grep -qxF "${one%%:*}" <<<"$wanted_names" || continue
  echo "install_deps.sh: this system has no such package: $one"
done

# ---- installing ----
as_root=()
if [ "$(id -u)" -ne 0 ] && command -v sudo >/dev/null; then
  as_root=(sudo)
fi

# Keeps Debian from starting installed services, which in containers can fail the whole installation.
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
    echo "install_deps.sh: cmake 3.25 or newer is needed, found ${version:-none}: python3 -m pip install cmake" >&2
    exit 1
  fi
}

$list_only && exit 0
if [ ${#missing[@]} -eq 0 ]; then
  echo "install_deps.sh: all packages are installed"
elif [ "$(id -u)" -ne 0 ] && [ ${#as_root[@]} -eq 0 ]; then
  echo "install_deps.sh: there is no sudo; run as root: apt-get install ${missing[*]}" >&2
  exit 1
else
  echo "install_deps.sh: installing ${missing[*]}"
  forbid_starting_services
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}"
fi
require_cmake
