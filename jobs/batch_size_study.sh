#!/usr/bin/env bash
# Pretrains and evaluates every combination of batch size, epochs and learning-rate rule, and collects
# the accuracies in one table (the paper's Table B.1).
#
#   jobs/batch_size_study.sh STUDY_DIR [SBATCH_OPTION...] -- PRETRAIN_OPTION...
#   BATCH_SIZES="256 512 1024 2048 4096 8192" EPOCHS="100 200" SCALINGS="linear sqrt" \
#     jobs/batch_size_study.sh studies/b1 --nodes=16 -- --config configs/imagenet-v1.cfg \
#     --data shards/train --eval-data shards/test
#
# Submits an array of pretraining jobs, an array of evaluations, of which each waits for its cell's
# pretraining, and a job that writes STUDY_DIR/table/. Each cell is a run in
# STUDY_DIR/batch-B_epochs-E_scaling-S/. Call it again to go on: it skips finished cells and continues
# others where they stopped. If the program would refuse a cell, nothing is submitted.
# Environment variables besides the lists above:
#   LEARNING_RATE_LINEAR=0.3 LEARNING_RATE_SQRT=0.075   base rates, as in the paper
#   AT_A_TIME=4                                         limit of array tasks that run at once; empty: none
#   LINEAR_EVAL_OPTIONS, KNN_OPTIONS, EVALUATION_SBATCH_OPTIONS   see submit_pipeline.sh
#   STUDY_TABLE=FILE                                    the script that makes the table (scripts/study_table.py)
set -euo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac
SIMCLR_JOBS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export SIMCLR_JOBS
# shellcheck source=/dev/null
. "$SIMCLR_JOBS/lib.sh"
load_site
refuse_mistyped BATCH_SIZES EPOCHS SCALINGS LEARNING_RATE_LINEAR LEARNING_RATE_SQRT AT_A_TIME LINEAR_EVAL_OPTIONS \
  KNN_OPTIONS EVALUATION_SBATCH_OPTIONS STUDY_TABLE

# read_list NAME PATTERN ALLOWED: sets WORDS to the values of the list NAME.
read_list() {
  local word seen=" "
  read_words "$1"
  [ "${#WORDS[@]}" -gt 0 ] || die 2 "$1 has no values; allowed: $3, with blanks between them"
  for word in "${WORDS[@]}"; do
    accept_value "$1" "$word" "$2" "$3"
    [[ "$seen" != *" $word "* ]] || die 2 "$1 has the value $word twice"
    seen+="$word "
  done
}

: "${LEARNING_RATE_LINEAR:=0.3}" "${LEARNING_RATE_SQRT:=0.075}" "${AT_A_TIME:=}"
: "${BATCH_SIZES:=256 512 1024 2048 4096}" "${EPOCHS:=100}" "${SCALINGS:=linear sqrt}"
require_setting AT_A_TIME "($COUNT)?" "$COUNT_ALLOWED, or nothing"
for name in LEARNING_RATE_LINEAR LEARNING_RATE_SQRT; do
  require_setting "$name" '([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?' "a number such as 0.3 or 3e-1"
done
read_list BATCH_SIZES "$COUNT" "$COUNT_ALLOWED"
batch_sizes=("${WORDS[@]}")
read_list EPOCHS "$COUNT" "$COUNT_ALLOWED"
epoch_counts=("${WORDS[@]}")
read_list SCALINGS "linear|sqrt" "linear, sqrt"
scalings=("${WORDS[@]}")

case "${1:--}" in -*) die 2 "usage: batch_size_study.sh STUDY_DIR [SBATCH_OPTION...] -- PRETRAIN_OPTION..." ;; esac
[[ "$1" != *$'\n'* ]] || die 2 "the study's directory must be a path without line breaks"
make_directory "$1/logs"
study="$(realpath "$1")"
shift
split_options "$@"
for option in run-dir batch-size epochs lr-scaling learning-rate; do
  for argument in "${PROGRAM_OPTIONS[@]}"; do
    case "$argument" in
      "--$option" | "--$option="*) die 2 "--$option: the study sets it for every cell" ;;
    esac
  done
done
require_program_option eval-data "the labeled images to evaluate on"

# A second submission while jobs are in the queue would train the same cells.
touch "$study/jobs.txt" 2>/dev/null || die 2 "cannot write $study/jobs.txt"
active="$(queue --me --noheader --format=%F)" || die 1 "squeue does not answer"
if still="$(grep -Fx -f <(sort -u <<<"$active") "$study/jobs.txt")"; then
  die 2 "jobs of this study are still in the queue: $(tr '\n' ' ' <<<"$still")"
fi

# ---- choosing the cells ----
# One line per cell: BATCH EPOCHS SCALING LEARNING_RATE DIRECTORY.
unfinished="$(mktemp "$study/logs/pretrain-XXXXXX.cells")"
unevaluated="$(mktemp "$study/logs/evaluate-XXXXXX.cells")"
trap 'rm -f "$unfinished" "$unevaluated"' EXIT # until there is a job that reads them
done_cells=0
for epochs in "${epoch_counts[@]}"; do
  for batch in "${batch_sizes[@]}"; do
    for scaling in "${scalings[@]}"; do
      rate="LEARNING_RATE_${scaling^^}"
      rate="${!rate}"
      cell="batch-${batch}_epochs-${epochs}_scaling-$scaling"
      line="$batch $epochs $scaling $rate $study/$cell"
      if [ "$(state_field status "$study/$cell/state.json")" != finished ]; then
        check_run pretrain "${PROGRAM_OPTIONS[@]}" --run-dir="$study/$cell" --batch-size="$batch" \
          --epochs="$epochs" --lr-scaling="$scaling" --learning-rate="$rate" >/dev/null ||
          die 2 "$cell: nothing was submitted"
        echo "$line" >>"$unfinished"
      elif ! compgen -G "$study/$cell/eval/linear-*.json" >/dev/null ||
        ! compgen -G "$study/$cell/eval/knn-*.json" >/dev/null; then
        echo "$line" >>"$unevaluated"
      else
        done_cells=$((done_cells + 1))
      fi
    done
  done
done

if [ -s "$unfinished" ] || [ -s "$unevaluated" ]; then
  read_words LINEAR_EVAL_OPTIONS
  linear_options=("${WORDS[@]}")
  read_words KNN_OPTIONS
  knn_options=("${WORDS[@]}")
  check_evaluation linear-eval "$study" "${linear_options[@]}" >/dev/null || die 2 "evaluation: nothing was submitted"
  check_evaluation knn "$study" "${knn_options[@]}" >/dev/null || die 2 "evaluation: nothing was submitted"
fi

# ---- submitting ----
set_site_options
study_name="$(run_name "$study")"
logs="${study//%/%%}/logs" # Slurm replaces %j and its like
read_words EVALUATION_SBATCH_OPTIONS
own=("${WORDS[@]}")
evaluation_options=("${SBATCH_OPTIONS[@]}" --nodes="$SIMCLR_EVALUATION_NODES" "${own[@]}"
  --kill-on-invalid-dep=yes)
evaluations=()

# submit_array STAGE CELLS SBATCH_OPTION... -- PROGRAM_OPTION...: prints the number of the new job.
submit_array() {
  local stage="$1" cells="$2" job
  shift 2
  local -a sbatch_options=()
  while [ "$1" != -- ]; do sbatch_options+=("$1"); shift; done
  shift
  job="$(submit "${SITE_OPTIONS[@]}" "${sbatch_options[@]}" --job-name="$study_name-$stage" \
    --output="$logs/simclr-study-$stage-%A_%a.out" \
    --array="0-$(($(wc -l <"$cells") - 1))${AT_A_TIME:+%$AT_A_TIME}" \
    "$SIMCLR_JOBS/study.sbatch" "$stage" "$cells" "$@")" || die 1 "sbatch refused the array $stage; its message is above"
  echo "$job" >>"$study/jobs.txt"
  echo "$job"
}

if [ -s "$unfinished" ]; then
  pretrain="$(submit_array pretrain "$unfinished" --signal=B:USR1@120 ${SIMCLR_TIME:+--time="$SIMCLR_TIME"} \
    "${SBATCH_OPTIONS[@]}" -- "${PROGRAM_OPTIONS[@]}")"
  trap - EXIT
  evaluations+=("$(submit_array evaluate "$unfinished" "${evaluation_options[@]}" \
    --dependency="aftercorr:$pretrain" --)")
fi
if [ -s "$unevaluated" ]; then
  evaluations+=("$(submit_array evaluate "$unevaluated" "${evaluation_options[@]}" --)")
  trap - EXIT
fi
# Makes the table even if a cell has failed.
after="$(IFS=:; echo "${evaluations[*]}")"
collect="$(submit "${SITE_OPTIONS[@]}" "${evaluation_options[@]}" --nodes=1 \
  ${after:+--dependency="afterany:$after"} --job-name="$study_name-collect" \
  --output="$logs/simclr-study-collect-%j.out" "$SIMCLR_JOBS/study.sbatch" collect "$study")"
echo "$collect" >>"$study/jobs.txt"

printf '%s cells finished, %s to pretrain%s, %s to evaluate only; jobs %s; table: %s\n' "$done_cells" \
  "$(wc -l <"$unfinished")" "${pretrain:+ (array $pretrain)}" "$(wc -l <"$unevaluated")" \
  "$(IFS=' '; echo "${evaluations[*]} $collect")" "$study/table/"
