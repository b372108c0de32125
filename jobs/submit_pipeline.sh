#!/usr/bin/env bash
# Submits pretraining and, to run after its success, the evaluations: linear-eval, then knn; and fine-tuning,
# if it is asked for.
#
#   jobs/submit_pipeline.sh [SBATCH_OPTION...] -- PRETRAIN_OPTION...
#   jobs/submit_pipeline.sh --nodes=16 --time=24:00:00 -- --config configs/imagenet-v1.cfg \
#     --data shards/train --eval-data shards/test --run-dir runs/r50
#
# Options before -- go to sbatch for all three jobs, those after it to `simclr pretrain`. If pretraining
# fails, its evaluations are canceled; what the program would refuse, in the run or in its evaluations, is
# not submitted. In the queue the jobs have the name of the run.
# Results: RUN/eval/*.json; logs: RUN/logs/.
# Environment variables with more options for the evaluations:
#   LINEAR_EVAL_OPTIONS="--protocol augmented"   KNN_OPTIONS=""   options of the program
#   FINETUNE_OPTIONS="--label-fraction 0.01"   options of `simclr finetune`: also fine-tunes, in RUN-finetune
#   EVALUATION_SBATCH_OPTIONS="--time=2:00:00"   options of sbatch that replace the common ones
# In these, quotes keep blanks: KNN_OPTIONS="--name 'first try'".
set -euo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac
SIMCLR_JOBS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export SIMCLR_JOBS
# shellcheck source=/dev/null
. "$SIMCLR_JOBS/lib.sh"
load_site
refuse_mistyped LINEAR_EVAL_OPTIONS KNN_OPTIONS FINETUNE_OPTIONS EVALUATION_SBATCH_OPTIONS

split_options "$@"
require_program_option run-dir "the run's directory"
require_program_option eval-data "the labeled images to evaluate on"
run_dir="$(option_value run-dir "${PROGRAM_OPTIONS[@]}")"
require_path --run-dir "$run_dir"
read_words LINEAR_EVAL_OPTIONS
linear_options=("${WORDS[@]}")
read_words KNN_OPTIONS
knn_options=("${WORDS[@]}")
read_words FINETUNE_OPTIONS
finetune_options=("${WORDS[@]}")
read_words EVALUATION_SBATCH_OPTIONS
own_options=("${WORDS[@]}")
check_run pretrain "${PROGRAM_OPTIONS[@]}" || die 2 "nothing was submitted"
check_evaluation linear-eval "$run_dir" "${linear_options[@]}" || die 2 "nothing was submitted"
check_evaluation knn "$run_dir" "${knn_options[@]}" || die 2 "nothing was submitted"
if [ "${#finetune_options[@]}" -gt 0 ]; then
  for option in data eval-data; do
    [ -n "$(option_value "$option" "${finetune_options[@]}")" ] ||
      finetune_options+=("--$option=$(option_value "$option" "${PROGRAM_OPTIONS[@]}")")
  done
  [ -n "$(option_value run-dir "${finetune_options[@]}")" ] || finetune_options+=("--run-dir=${run_dir%/}-finetune")
  finetune_options+=("--checkpoint=$run_dir")
  check_run finetune "${finetune_options[@]}" || die 2 "nothing was submitted"
fi
make_directory "$run_dir/logs"
set_site_options
name="$(run_name "$run_dir")"
logs="${run_dir//%/%%}/logs" # Slurm replaces %j and its like

pretrain="$(submit "${SITE_OPTIONS[@]}" --job-name="$name" --output="$logs/simclr-pretrain-%j.out" ${SIMCLR_TIME:+--time="$SIMCLR_TIME"} \
  "${SBATCH_OPTIONS[@]}" "$SIMCLR_JOBS/pretrain.sbatch" "${PROGRAM_OPTIONS[@]}")"

# submit_evaluation COMMAND DEPENDENCY OPTION...
submit_evaluation() {
  local command="$1" dependency="$2"
  shift 2
  submit "${SITE_OPTIONS[@]}" --job-name="$name-$command" --output="$logs/simclr-$command-%j.out" \
    "${SBATCH_OPTIONS[@]}" --nodes="$SIMCLR_EVALUATION_NODES" "${own_options[@]}" \
    --dependency="$dependency" --kill-on-invalid-dep=yes \
    "$SIMCLR_JOBS/${command/-/_}.sbatch" --checkpoint "$run_dir" "$@"
}
linear="$(submit_evaluation linear-eval "afterok:$pretrain" "${linear_options[@]}")"
# knn waits for linear-eval, successful or not, because both write the run's report.
knn="$(submit_evaluation knn "afterok:$pretrain,afterany:$linear" "${knn_options[@]}")"
jobs=(pretrain "$pretrain" linear-eval "$linear" knn "$knn")
if [ "${#finetune_options[@]}" -gt 0 ]; then
  jobs+=(finetune "$(submit "${SITE_OPTIONS[@]}" --job-name="$name-finetune" --output="$logs/simclr-finetune-%j.out" \
    ${SIMCLR_TIME:+--time="$SIMCLR_TIME"} "${SBATCH_OPTIONS[@]}" --dependency="afterok:$pretrain" --kill-on-invalid-dep=yes \
    "$SIMCLR_JOBS/finetune.sbatch" "${finetune_options[@]}")")
fi

printf '%-13s job %s\n' "${jobs[@]}"
printf 'logs: %s, results: %s\n' "$run_dir/logs/" "$run_dir/eval/"
