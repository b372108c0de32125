#!/usr/bin/env bash
# The packages of Debian or Ubuntu that hold the libraries a built program loads, one a line: what a machine needs on
# which it runs and is not built. Libraries that no package holds (a CUDA toolkit's, Spack's) are left out.
#   scripts/runtime_packages.sh PROGRAM
set -euo pipefail
if [ $# -ne 1 ] || [ ! -x "$1" ]; then
  echo "usage: scripts/runtime_packages.sh PROGRAM" >&2
  exit 2
fi

libraries="$(ldd "$1")"
if grep -q 'not found' <<<"$libraries"; then
  echo "runtime_packages.sh: $1 misses libraries:" >&2
  grep 'not found' <<<"$libraries" >&2
  exit 1
fi
# A library may be registered under /lib or /usr/lib, whichever of them is the link.
mapfile -t names < <(awk '$2 == "=>" && $3 ~ /^\// { print $3 }' <<<"$libraries" | xargs realpath |
  sed 's|^/usr/|/|' | sed 'p; s|^|/usr|')
{ dpkg -S "${names[@]}" 2>/dev/null || true; } | cut -d: -f1 | sort -u
