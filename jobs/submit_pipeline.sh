#!/usr/bin/env bash
# Submits pretraining and, to run after its success, the evaluations: linear-eval, then knn.
#
#   jobs/submit_pipeline.sh [SBATCH_OPTION...] -- PRETRAIN_OPTION...
#   jobs/submit_pipeline.sh --nodes=16 --time=24:00:00 -- --config configs/imagenet-v1.cfg \
#     --data shards/train --eval-data shards/test --run-dir runs/r50
#
# Options before -- go to sbatch for all three jobs, those after it to `simclr pretrain`. If pretraining
# fails, its evaluations are canceled; a run that the program would refuse is not submitted.
# Results: RUN/eval/*.json; logs: RUN/logs/.
# Environment variables with more options for the evaluations:
#   LINEAR_EVAL_OPTIONS="--protocol augmented"   KNN_OPTIONS=""   options of the program
#   EVALUATION_SBATCH_OPTIONS="--time=2:00:00"   options of sbatch that replace the common ones
set -euo pipefail
SIMCLR_JOBS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export SIMCLR_JOBS
# shellcheck source=/dev/null
. "$SIMCLR_JOBS/lib.sh"
load_site

split_options "$@"
require_program_option run-dir "the run's directory"
require_program_option eval-data "the labeled images to evaluate on"
run_dir="$(option_value run-dir "${PROGRAM_OPTIONS[@]}")"
check_run "${PROGRAM_OPTIONS[@]}" || die 2 "nothing was submitted"
mkdir -p "$run_dir/logs"
set_site_options
log="--output=$run_dir/logs/%x-%j.out"

pretrain="$(submit "${SITE_OPTIONS[@]}" "$log" ${SIMCLR_TIME:+--time="$SIMCLR_TIME"} \
  "${SBATCH_OPTIONS[@]}" "$SIMCLR_JOBS/pretrain.sbatch" "${PROGRAM_OPTIONS[@]}")"

# submit_evaluation SCRIPT DEPENDENCY OPTION...
submit_evaluation() {
  local script="$1" dependency="$2"
  local -a own
  shift 2
  read -r -a own <<<"${EVALUATION_SBATCH_OPTIONS:-}"
  submit "${SITE_OPTIONS[@]}" "$log" "${SBATCH_OPTIONS[@]}" --nodes="$SIMCLR_EVALUATION_NODES" \
    "${own[@]}" --dependency="$dependency" --kill-on-invalid-dep=yes \
    "$SIMCLR_JOBS/$script" --checkpoint "$run_dir" "$@"
}
read -r -a linear_options <<<"${LINEAR_EVAL_OPTIONS:-}"
read -r -a knn_options <<<"${KNN_OPTIONS:-}"
linear="$(submit_evaluation linear_eval.sbatch "afterok:$pretrain" "${linear_options[@]}")"
# knn waits for linear-eval, successful or not, because both write the run's report.
knn="$(submit_evaluation knn.sbatch "afterok:$pretrain,afterany:$linear" "${knn_options[@]}")"

printf '%-13s job %s\n' pretrain "$pretrain" linear-eval "$linear" knn "$knn"
printf 'logs: %s, results: %s\n' "$run_dir/logs/" "$run_dir/eval/"
