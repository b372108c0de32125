#!/usr/bin/env bash
# Installs what simclr needs from the packages of Debian 12. Safe to run again: what is there stays.
# CUDA, cuDNN and NCCL are never installed: they come with the machine's own toolkit.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: scripts/install_deps.sh [--with-tests] [--with-demo] [--dev] [--list]
  (nothing)     compilers and libraries that building and running need
  --with-tests  also what the tests compare with: GoogleTest, PyTorch, h5py, Fashion-MNIST
  --with-demo   also what scripts/quickstart.sh needs: Fashion-MNIST, matplotlib
  --dev         also what keeps the code in shape: clang-format, clang-tidy, shellcheck, ccache
  --list        print the packages and why, install nothing
TEXT
}

build=(
  "g++: C++20 compiler (GCC 12)"
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
  "python3: plots the loss curve"
  "python3-matplotlib: plots the loss curve"
)
tests=(
  "libgtest-dev: GoogleTest"
  "dataset-fashion-mnist: real images for end-to-end tests"
  "python3: drives end-to-end tests"
  "python3-numpy: reads what the program wrote"
  "python3-h5py: reads and writes shards without this program"
  "python3-xxhash: checksums of checkpoints that tests write"
  "python3-pil: makes image files for tests"
  "python3-torch: the independent implementation that results are compared with"
  "python3-torchvision: reference encoders and augmentations"
)
dev=(
  "clang-format: one layout for all code"
  "clang-tidy-16: static checks (14 does not know std::source_location)"
  "libomp-16-dev: the omp.h that clang-tidy-16 reads"
  "shellcheck: checks of shell scripts"
  "ccache: faster rebuilds"
)

wanted=("${build[@]}")
list_only=false
for argument in "$@"; do
  case "$argument" in
    --with-tests) wanted+=("${tests[@]}") ;;
    --with-demo) wanted+=("${demo[@]}") ;;
    --dev) wanted+=("${dev[@]}") ;;
    --list) list_only=true ;;
    -h | --help) usage; exit 0 ;;
    *) echo "install_deps.sh: unknown option $argument" >&2; usage >&2; exit 2 ;;
  esac
done

is_installed() {
  [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null || true)" = "ii " ]
}

missing=()
while IFS=: read -r package reason; do
  if is_installed "$package"; then
    state="there"
  else
    state="missing"
    missing+=("$package")
  fi
  printf '%-30s %-8s%s\n' "$package" "$state" "$reason"
done < <(printf '%s\n' "${wanted[@]}" | sort -u -t: -k1,1)

if $list_only || [ ${#missing[@]} -eq 0 ]; then
  $list_only || echo "install_deps.sh: everything is there"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install_deps.sh: run as root (no sudo here): apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "install_deps.sh: installing ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -q --no-install-recommends "${missing[@]}"
