#!/usr/bin/env bash
# Makes the README's CIFAR-10 comparison: simclr in bf16 and fp32 and PyTorch pretrain one recipe
# (configs/cifar10-cpu.cfg) from the same untrained weights, and simclr evaluates all encoders.
#   scripts/experiments/cifar10.sh CIFAR_DIR OUTPUT_DIR [RANKS]
# CIFAR_DIR has the binary batches (data_batch_1.bin ... test_batch.bin). Skips stages whose results
# exist. Takes one to two hours on two cores.
set -euo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac
if [ $# -lt 2 ]; then
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
cifar="$(realpath "$1")"
mkdir -p "$2"
out="$(realpath "$2")"
ranks="${3:-2}"
cd "$(dirname "$0")/../.."
simclr="${SIMCLR:-build/simclr}"
config=configs/cifar10-cpu.cfg
python=/usr/bin/python3
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

# pretrain PRECISION
pretrain() {
  mpirun -n "$ranks" "$simclr" pretrain --config "$config" --data "$out/train" --precision "$1" \
    --run-dir "$out/run-$1" --checkpoint-steps 0
}

# evaluate NAME CHECKPOINT
evaluate() {
  [ -f "$out/linear-$1.json" ] || mpirun -n "$ranks" "$simclr" linear-eval --protocol cached \
    --checkpoint "$2" --train-data "$out/train" --test-data "$out/test" --output "$out/linear-$1.json"
  [ -f "$out/knn-$1.json" ] || mpirun -n "$ranks" "$simclr" knn \
    --checkpoint "$2" --train-data "$out/train" --test-data "$out/test" --output "$out/knn-$1.json"
}

[ -d "$out/train" ] || "$simclr" pack --from cifar-bin --input "$cifar" --split train --output "$out/train"
[ -d "$out/test" ] || "$simclr" pack --from cifar-bin --input "$cifar" --split test --output "$out/test"
pretrain bf16
pretrain fp32
start="$out/run-bf16/checkpoints/step-0000000000.h5"
if [ ! -f "$out/pytorch.h5" ]; then
  "$python" scripts/pytorch/pretrain.py --config "$config" --data "$out/train" --start "$start" \
    --precision fp32 --output "$out/pytorch.h5" | tee "$out/pytorch.jsonl"
fi

evaluate untrained "$start"
evaluate bf16 "$out/run-bf16"
evaluate fp32 "$out/run-fp32"
evaluate pytorch "$out/pytorch.h5"

top1() { "$python" -c 'import json, sys; print("%.2f" % (100 * json.load(open(sys.argv[1]))["top1"]))' "$1"; }
echo "| encoder | linear-cached top-1, % | kNN top-1, % |"
echo "|---|---|---|"
for name in untrained bf16 fp32 pytorch; do
  echo "| $name | $(top1 "$out/linear-$name.json") | $(top1 "$out/knn-$name.json") |"
done
