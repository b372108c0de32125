#!/usr/bin/env bash
# Goes from a fresh clone on Debian 12 to a trained and evaluated encoder: installs, builds, packs
# Fashion-MNIST, pretrains on two ranks without labels, and compares with the untrained encoder.
# Takes at most 12 minutes on two idle CPU cores, not counting downloads: it measures the machine to
# choose the width of the encoder and the number of epochs. Needs no GPU.
#   scripts/quickstart.sh [OUTPUT_DIR]     (default: out/quickstart)
set -euo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac
cd "$(dirname "$0")/.."
out="${1:-out/quickstart}"
images=/usr/share/datasets/fashion-mnist
config=configs/quickstart.cfg
python=/usr/bin/python3

if [ -e "$out" ]; then
  echo "quickstart.sh: $out exists: remove it or name another directory" >&2
  exit 2
fi

# Allows two ranks on one core, and MPI in containers that run as root.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl_vader_single_copy_mechanism=none

begin=$SECONDS # reset after the downloads
left=""        # estimated seconds for the rest; empty before the measurement
minutes() { printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); }
say() { printf '\n== %s (%s%s)\n' "$1" "$(minutes $((SECONDS - begin)))" "${left:+; about $(minutes "$left") left}"; }

say "install packages"
scripts/install_deps.sh --with-demo
begin=$SECONDS

say "build"
cuda=OFF  # built only if there is a GPU; the recipe below is for the CPU
[ -e /dev/nvidiactl ] && cuda=AUTO
cmake --preset release -DSIMCLR_TESTS=OFF -DSIMCLR_CUDA="$cuda"
cmake --build --preset release -j "$(nproc)"
simclr=build/simclr

say "pack 60,000 training and 10,000 test images into HDF5 shards"
mkdir -p "$out"
mpirun -n 2 "$simclr" pack --from idx --input "$images" --split train --output "$out/train" --shards 2
mpirun -n 2 "$simclr" pack --from idx --input "$images" --split test --output "$out/test" --shards 2

say "render augmented pairs"
"$simclr" preview --config "$config" --data "$out/train" --output "$out/augmented-pairs.png"

say "measure this machine"
precision=fp32
grep -q avx512_bf16 /proc/cpuinfo && precision=bf16
vectors="no AVX2"
for flag in avx2:AVX2 avx512f:AVX-512 "avx512_bf16:AVX-512 with bf16"; do
  grep -qw "${flag%%:*}" /proc/cpuinfo && vectors="${flag#*:}"
done
processor="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, $vectors"
pretrain() { mpirun -n 2 "$simclr" pretrain --config "$config" --data "$out/train" --precision "$precision" "$@"; }
pretrain --width 0.25 --max-steps 8 --log-every 1 --run-dir "$out/trial" >/dev/null
size="$("$python" scripts/quickstart_size.py "$out/trial/metrics.jsonl" $((SECONDS - begin)) "$precision")"
read -r width epochs warmup rate train_seconds evaluation_seconds <<<"$size"
rm -r "$out/trial"
echo "$processor, $precision: $rate images/s with a quarter-width ResNet-18. Chosen to end within 12 minutes:"
echo "width $width, $epochs epoch(s): training about $(minutes "$train_seconds"), evaluations $(minutes "$evaluation_seconds")"
left=$((train_seconds + evaluation_seconds))

say "pretrain on two ranks, without labels"
pretrain --width "$width" --epochs "$epochs" --warmup-epochs "$warmup" --run-dir "$out/run" --checkpoint-steps 0
left=$evaluation_seconds

say "evaluate the trained and the untrained encoder"
for state in untrained trained; do
  checkpoint="$out/run"
  [ "$state" = untrained ] && checkpoint="$out/run/checkpoints/step-0000000000.h5"
  mpirun -n 2 "$simclr" linear-eval --protocol cached --checkpoint "$checkpoint" \
    --train-data "$out/train" --test-data "$out/test" --name "linear-$state"
  mpirun -n 2 "$simclr" knn --checkpoint "$checkpoint" \
    --train-data "$out/train" --test-data "$out/test" --name "knn-$state"
done

left=""
say "done"
top1() { "$python" -c 'import json, sys; print("%.2f" % (100 * json.load(open(sys.argv[1]))["top1"]))' "$out/run/eval/$1.json"; }
echo "top-1 on 10,000 test images, %, after $(minutes $((SECONDS - begin))) on $processor ($precision)"
printf '%-14s %10s %10s\n' "" untrained trained
printf '%-14s %10s %10s\n' linear-cached "$(top1 linear-untrained)" "$(top1 linear-trained)"
printf '%-14s %10s %10s\n' kNN "$(top1 knn-untrained)" "$(top1 knn-trained)"
echo
echo "look at: $out/run/report.html      curves, evaluations, augmented pairs and settings on one page"
echo "         $out/augmented-pairs.png  augmented pairs, as the encoder sees them"
echo "         $out/run/metrics.jsonl    every logged step"
