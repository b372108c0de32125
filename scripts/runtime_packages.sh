#!/usr/bin/env bash
# Prints the packages of Debian or Ubuntu that have the libraries of a built program, one per line: those that a machine
# needs to run it. Leaves out libraries that no package has (of a CUDA toolkit or Spack).
#   scripts/runtime_packages.sh PROGRAM
set -euo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac
if [ $# -ne 1 ] || [ ! -x "$1" ]; then
  echo "usage: scripts/runtime_packages.sh PROGRAM" >&2
  exit 2
fi

libraries="$(ldd "$1")"
if grep -q 'not found' <<<"$libraries"; then
  echo "runtime_packages.sh: $1 needs libraries that are missing:" >&2
  grep 'not found' <<<"$libraries" >&2
  exit 1
fi
# A package may list a library under /lib or /usr/lib, one of which is a link.
mapfile -t names < <(awk '$2 == "=>" && $3 ~ /^\// { print $3 }' <<<"$libraries" | xargs realpath |
  sed 's|^/usr/|/|' | sed 'p; s|^|/usr|')
{ dpkg -S "${names[@]}" 2>/dev/null || true; } | cut -d: -f1 | sort -u
