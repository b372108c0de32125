#!/usr/bin/env bash
# Checks the sources without running the program: layout, include direction, shell scripts, clang-tidy.
#   scripts/lint.sh              clang-tidy checks the program alone
#   scripts/lint.sh --all        clang-tidy checks the tests, too, which takes twice as long
# Writes "N passed, N failed" as its last line; exits 1 if a check failed.
set -uo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac
cd "$(dirname "$0")/.." || exit 1
case "${1:-}" in
  "") tidied="src|tests/cuda_emulation" ;; # the emulation includes the CUDA kernels
  --all) tidied="src|tests" ;;
  *) echo "usage: scripts/lint.sh [--all]" >&2; exit 2 ;;
esac
passed=0
failed=0

check() {
  local name="$1"
  shift
  local start=$SECONDS
  if "$@"; then
    passed=$((passed + 1))
    echo "lint: $name: ok ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    echo "lint: $name: FAILED ($((SECONDS - start)) s)"
  fi
}

cpp_files() { git ls-files --cached --others --exclude-standard -- '*.cpp' '*.hpp'; }
shell_files() { git ls-files --cached --others --exclude-standard -- '*.sh' '*.sbatch' '*.env' .ci/run; }

cuda_files() { git ls-files --cached --others --exclude-standard -- '*.cu' '*.cuh'; }
layout() { { cpp_files; cuda_files; } | xargs clang-format --dry-run -Werror; }
shells() { shell_files | xargs shellcheck; }
pythons() {
  git ls-files --cached --others --exclude-standard -- '*.py' |
    xargs -n1 /usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])'
}
# clang-tidy spends most of its time on headers, so it checks the sources of unity builds.
tidy_sources() {
  sed -n 's/.*"file": "\(.*\.c[px][px]\)".*/\1/p' build-lint/compile_commands.json |
    grep -E "/($tidied)/" | grep -v '/build-lint/.*/kernel_' | sort -u
}
tidy() {
  cmake --preset lint >/dev/null && cmake --build --preset lint >/dev/null || return 1
  tidy_sources | xargs -P "$(nproc)" -n1 clang-tidy-16 -p build-lint --quiet 2>/dev/null
}

check "clang-format" layout
check "include direction" python3 scripts/check_includes.py
check "shellcheck" shells
check "Python syntax" pythons
check "clang-tidy" tidy
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
