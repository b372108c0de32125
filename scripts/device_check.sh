#!/usr/bin/env bash
# Runs all checks that need a GPU, in this order: results of kernels, whole training steps, sanitizers,
# ranks that share the GPU, restarts, and speed compared with PyTorch.
#   scripts/device_check.sh [OPTION...] BUILD_DIR [OUTPUT_DIR]     (OUTPUT_DIR: device-check)
#   --python PROGRAM   interpreter with PyTorch for the comparison [python3]
#   --only REGEX       run only the first launch and the steps whose names match
#   --limit SECONDS    a step that takes longer fails [900]
#   --emulated         run on the emulated device: programs *_cuda_emulated, tiny benchmarks
# BUILD_DIR has simclr and tests/*_cuda_device, built with -DSIMCLR_CUDA=ON, here or elsewhere. Needs
# mpirun, nvidia-smi and compute-sanitizer (from PATH or /usr/local/cuda/bin) and, only for PyTorch,
# Python. Every step writes NAME.log to OUTPUT_DIR; summary.md lists the results. Exit code: 0 if all
# passed, 1 if one failed, 77 if some could not run.
set -uo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
usage() { sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

python=python3
only=.
limit=900
target=cuda_device
while [ $# -gt 0 ]; do
  case "$1" in
    --python) python="${2:-}"; shift 2 || usage ;;
    --only) only="${2:-}"; shift 2 || usage ;;
    --limit) limit="${2:-}"; shift 2 || usage ;;
    --emulated) target=cuda_emulated; shift ;;
    -*) usage ;;
    *) break ;;
  esac
done
if [ $# -lt 1 ] || [ $# -gt 2 ]; then usage; fi
build="$(cd "$1" && pwd)" || exit 2
mkdir -p "${2:-device-check}" && out="$(cd "${2:-device-check}" && pwd)" || exit 2
tests="$build/tests"
[ -d "$tests" ] || tests="$build"  # in a bundle of programs, all are in one folder
simclr="$build/simclr"
if [ "$target" = cuda_emulated ]; then simclr="$tests/simclr_emulated"; fi
PATH="$PATH:/usr/local/cuda/bin"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_hwloc_base_binding_policy=none
# All programs share the measured convolution plans.
export SIMCLR_TEST_PLAN_CACHE="$out/plans.json"
export OMPI_MCA_ess_singleton_isolated=1 OMP_WAIT_POLICY=passive GTEST_COLOR=no

# ---- steps ----

passed=0
failed=0
not_run=0
printf '| step | result | |\n|---|---|---|\n' >"$out/summary.md"

# note NAME RESULT DETAIL: writes a line of the summary
note() {
  case "$2" in
    passed) passed=$((passed + 1)) ;;
    failed) failed=$((failed + 1)) ;;
    *) not_run=$((not_run + 1)) ;;
  esac
  echo "| $1 | $2 | ${3//|/ } |" >>"$out/summary.md"
  printf '%-28s %-8s %s\n' "$1" "$2" "$3"
}

wanted() {
  [[ "$1" =~ $only ]] && return 0
  note "$1" "not run" "not selected (--only $only)"
  return 1
}

# needs NAME PROGRAM...: fails and notes the step as not run if a program is missing
needs() {
  local name="$1" program
  shift
  for program in "$@"; do
    command -v "$program" >/dev/null && continue
    note "$name" "not run" "$program is missing"
    return 1
  done
}

# bounded COMMAND...: runs it with a time limit, so that no step hangs
bounded() { timeout --kill-after=20 "$limit" "$@"; }

# detail_of LOG: GoogleTest's counts (of all ranks), a rate, or the last line
detail_of() {
  local text
  text="$(grep -aoE '\[ +(PASSED|SKIPPED|FAILED) +\] [0-9]+ tests?' "$1" | tr -d '[]' |
    awk '{ n[tolower($1)] += $2 } END { for (k in n) printf "%s%s %d", c++ ? ", " : "", k, n[k] }')"
  [ -n "$text" ] || text="$(grep -am1 'views/s,' "$1")" || text="$(tail -n1 "$1")"
  echo "${text:0:160}"
}

# step NAME COMMAND...: runs it and notes the result; a GoogleTest program that skips all is "not run"
step() {
  local name="$1" status=0 start=$SECONDS detail
  shift
  bounded "$@" >"$out/$name.log" 2>&1 || status=$?
  detail="$(detail_of "$out/$name.log"), $((SECONDS - start)) s"
  if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    note "$name" failed "took longer than $limit s"
  elif [ "$status" -eq 77 ]; then
    note "$name" "not run" "$detail"
  elif [ "$status" -ne 0 ]; then
    note "$name" failed "status $status: $detail"
  elif grep -aq '^\[==========\] Running 0 tests' "$out/$name.log"; then
    note "$name" "not run" "the filter matches no test"
  elif grep -aq '^\[==========\]' "$out/$name.log" &&
    ! grep -aqE '^\[  PASSED  \] [1-9]' "$out/$name.log"; then
    note "$name" "not run" "$detail"
  else
    note "$name" passed "$detail"
  fi
}

# test_step NAME PROGRAM [ARGUMENT...]: runs a test program
test_step() {
  local name="$1" program="$tests/$2"
  shift 2
  if wanted "$name" && needs "$name" "$program"; then step "$name" "$program" "$@"; fi
}

# rank_step NAME RANKS PROGRAM [ARGUMENT...]: runs a test program on several ranks that share the GPU
rank_step() {
  local name="$1" ranks="$2" program="$tests/$3"
  shift 3
  if wanted "$name" && needs "$name" mpirun "$program"; then
    step "$name" env NCCL_SOCKET_IFNAME=lo mpirun --oversubscribe -n "$ranks" "$program" "$@"
  fi
}

# sanitizer_step NAME TOOL PROGRAM FILTER
sanitizer_step() {
  if wanted "$1" && needs "$1" compute-sanitizer "$tests/$3"; then
    step "$1" compute-sanitizer --tool "$2" --error-exitcode 1 "$tests/$3" "--gtest_filter=$4"
  fi
}

# ---- the program ----

steps=4
size=(--width 0.25 --image-size 32 --batch-size 64)
if [ "$target" = cuda_emulated ]; then
  size=(--width 0.125 --image-size 8 --batch-size 8 --embedding-dim 16)
fi
training=("${size[@]}" --encoder resnet18 --stem cifar --epochs 4 --warmup-epochs 0 --learning-rate 0.1
  --lr-scaling none --log-every 1 --threads 2 --checkpoint-every-epochs 0 --device cuda
  --plan-cache "$out/plans.json")

# Makes the same 512 meaningless images of 28 x 28 pixels every time, in an IDX file.
make_data() {
  [ -d "$out/data" ] && return 0
  {
    printf '\0\0\10\3\0\0\2\0\0\0\0\34\0\0\0\34'
    seq 1000000 9999999 | gzip -nc | head -c $((512 * 28 * 28))
  } 2>/dev/null >"$out/pictures-idx3-ubyte"
  "$simclr" pack --from idx --images "$out/pictures-idx3-ubyte" --output "$out/data" --shards 2
}

# pretrain RUN MAX_STEPS [OPTION...]
pretrain() {
  local run="$1" most="$2"
  shift 2
  "$simclr" pretrain --data "$out/data" --run-dir "$out/$run" --max-steps "$most" "${training[@]}" "$@"
}

losses() { sed -n 's/.*"loss": *\([-+.0-9a-z]*\).*/\1/p' "$out/$1/metrics.jsonl"; }

# same_losses RUN OTHER: the first losses must agree to 1e-5 (relative), the others to 1e-3
same_losses() {
  paste <(losses "$1") <(losses "$2") | awk '
    { d = $1 - $2; if (d < 0) d = -d; bound = NR == 1 ? 1e-5 : 1e-3
      if (NF != 2 || !(d <= bound * $2) || !($2 > 0)) bad = 1; printf "%s %s, ", $1, $2 }
    END { print NR " steps"; exit bad || NR == 0 }'
}

# train_on_ranks RANKS COLLECTIVES: compares several ranks with one; for NCCL, each rank is on its own host
train_on_ranks() {
  local ranks="$1" run="ranks-$1-$2" collectives="$2" rank
  local command=(mpirun)
  rm -rf "${out:?}/$run"
  for ((rank = 0; rank < ranks; ++rank)); do
    if [ "$rank" -gt 0 ]; then command+=(:); fi
    command+=(--oversubscribe -n 1 env "NCCL_HOSTID=rank-$rank" NCCL_SOCKET_IFNAME=lo
      "SIMCLR_EMULATED_DEVICES=$([ "$collectives" = nccl ] && echo "$ranks" || echo 1)"
      "$simclr" pretrain --data "$out/data" --run-dir "$out/$run" --max-steps "$steps"
      "${training[@]}" --precision fp32 --collectives "$collectives" --share-device)
  done
  "${command[@]}" && same_losses "$run" one
}
train_alone() {
  rm -rf "${out:?}/one"
  make_data && pretrain one "$steps" --precision fp32 && [ "$(losses one | wc -l)" -eq "$steps" ] &&
    losses one | tail -n1
}
# 4 steps, and 2 + 2 steps with a restart, must give the same bits
restart() {
  local precision="$1" a="straight-$1" b="restarted-$1" file
  rm -rf "${out:?}/$a" "${out:?}/$b"
  file="checkpoints/step-$(printf %010d "$steps").h5"
  make_data && pretrain "$a" "$steps" --precision "$precision" &&
    pretrain "$b" $((steps / 2)) --precision "$precision" &&
    pretrain "$b" "$steps" --precision "$precision" && cmp "$out/$a/$file" "$out/$b/$file" &&
    [ "$(losses "$a")" = "$(losses "$b")" ] && echo "$file: the same bits"
}

# function_step NAME FUNCTION...: runs a function in a new bash, because `timeout` only starts programs
function_step() {
  local name="$1"
  shift
  if wanted "$name" && needs "$name" "$simclr" mpirun; then
    export -f make_data pretrain losses same_losses train_on_ranks train_alone restart
    step "$name" bash -c "$(declare -p out simclr steps training); $(printf '%q ' "$@")"
  fi
}

# bench_step NAME ARGUMENT...: runs a benchmark of the program; the log has its numbers
bench_step() {
  local name="$1"
  shift
  if wanted "$name" && needs "$name" "$simclr"; then
    step "$name" "$simclr" bench "$@" --device cuda --plan-cache "$out/plans.json"
  fi
}

# pytorch_step NAME SCRIPT [ARGUMENT...]: compares simclr with PyTorch
pytorch_step() {
  local name="$1" script="$here/$2"
  shift 2
  wanted "$name" && needs "$name" "$python" "$simclr" || return 0
  if [ "$target" = cuda_emulated ]; then
    note "$name" "not run" "PyTorch cannot be compared with an emulated device"
  elif ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    note "$name" "not run" "$python has no PyTorch that sees a GPU (--python)"
  else
    step "$name" "$python" "$script" --simclr "$simclr" --device cuda "$@"
  fi
}

# ---- the checks ----

echo "programs of $build ($target), logs in $out"
if wanted device; then
  if [ "$target" = cuda_emulated ]; then
    note device "not run" "emulated"
  elif needs device nvidia-smi; then
    step device nvidia-smi
    note device-name "$([ -n "$(nvidia-smi -L)" ] && echo passed || echo failed)" \
      "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n1)"
  fi
fi
# Always runs: without a device, the following steps mean nothing.
if needs first-launch "$simclr"; then
  step first-launch "$simclr" bench loss --views 64 --embedding-dim 16 --repeats 1 --device cuda \
    --plan-cache none
  if grep -q 'option --device: cuda:' "$out/first-launch.log"; then
    cat "$out/first-launch.log" >&2
    exit 1
  fi
fi
for name in parity memory weights input_stage nt_xent batch_norm_sums top_k; do
  test_step "$name" "${name}_test_$target"
done
test_step lockstep "network_test_$target" '--gtest_filter=LockstepTest.*'
test_step other-backend "other_backend_test_$target" '--gtest_filter=OtherBackendTest.*'
test_step whole-steps "network_test_$target" '--gtest_filter=Step.*'

few='*bn_statistics_vectors*:*bn_backward_apply_plain*:*max_pool_3x3*:*nt_xent*:*lars*:*l2_normalize*'
for tool in memcheck racecheck; do
  sanitizer_step "$tool-parity" "$tool" "parity_test_$target" "$few"
done

for ranks in 1 2 4; do
  for collectives in mpi nccl; do
    rank_step "collectives-$collectives-$ranks" "$ranks" "communication_test_$target" \
      "--gtest_filter=*cuda_$collectives*"
    rank_step "ranks-$collectives-$ranks" "$ranks" "network_ranks_test_$target" \
      "--gtest_filter=*cuda_$collectives*"
  done
done
function_step train-1 train_alone
function_step train-mpi-2 train_on_ranks 2 mpi
function_step train-mpi-4 train_on_ranks 4 mpi
function_step train-nccl-2 train_on_ranks 2 nccl
function_step restart-bf16 restart bf16
function_step restart-fp32 restart fp32

r18=(--encoder resnet18 --stem cifar --image-size 32 --batch-size 1024)
r50=(--encoder resnet50 --stem imagenet --image-size 224 --batch-size 256)
ops=(--views 512)
loss=(--views 16384 --embedding-dim 128)
if [ "$target" = cuda_emulated ]; then
  r18=(--encoder resnet18 --width 0.125 --stem cifar --image-size 8 --batch-size 2 --repeats 1)
  r50=(--encoder resnet50 --width 0.125 --stem imagenet --image-size 33 --batch-size 2 --repeats 1)
  ops=(--encoder resnet18 --width 0.125 --stem cifar --image-size 8 --views 4 --repeats 1)
  loss=(--views 64 --embedding-dim 16 --repeats 1)
fi
bench_step bench-step-R50 step "${r50[@]}" --precision bf16
bench_step bench-step-R18-CIFAR step "${r18[@]}" --precision bf16
bench_step bench-op op "${ops[@]}" --precision bf16
bench_step bench-op-shapes op "${ops[@]}" --precision bf16 --by-shape
bench_step bench-loss loss "${loss[@]}"
for shape in R50-224 R18-CIFAR; do
  pytorch_step "pytorch-$shape" bench_step.py --python "$python" --precisions bf16 --shapes "$shape"
done

printf '\n%d passed, %d failed, %d not run\n' "$passed" "$failed" "$not_run" | tee -a "$out/summary.md"
if [ "$failed" -gt 0 ]; then exit 1; fi
if [ "$not_run" -gt 0 ]; then exit 77; fi
