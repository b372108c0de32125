#!/usr/bin/env bash
# Runs a study's cells as Slurm jobs: what `simclr study FILE --output DIR --run` does on one machine.
#
#   jobs/study.sh FILE DIR [SBATCH_OPTION...] [-- STUDY_OPTION...]
#   jobs/study.sh configs/studies/batch-epochs.cfg studies/b1 --nodes=16 -- \
#     --data shards/train --eval-data shards/test
#
# FILE is a study file (docs/studies.md), DIR the study's directory. Options before -- go to sbatch for all jobs,
# those after it to `simclr study`. Submits an array of training jobs, an array of evaluations, of which each waits for
# its run, arrays of training with labels that wait for theirs, and a job that writes the tables in DIR. Call it again
# to go on: it leaves finished work as it is and continues the rest where it stopped. If the program would refuse a
# cell, nothing is submitted.
# Environment variables:
#   AT_A_TIME=4                                  limit of an array's tasks that run at once; empty: none
#   EVALUATION_SBATCH_OPTIONS="--time=2:00:00"   options of sbatch that replace the common ones for evaluations
set -euo pipefail
case "${1:-}" in
  -h | --help) awk 'NR > 1 && !/^#( |$)/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"; exit ;;
esac
SIMCLR_JOBS="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export SIMCLR_JOBS
# shellcheck source=/dev/null
. "$SIMCLR_JOBS/lib.sh"
load_site
refuse_mistyped AT_A_TIME EVALUATION_SBATCH_OPTIONS
: "${AT_A_TIME:=}"
require_setting AT_A_TIME "($COUNT)?" "$COUNT_ALLOWED, or nothing"

usage="usage: study.sh FILE DIR [SBATCH_OPTION...] [-- STUDY_OPTION...]"
for place in "${1:--}" "${2:--}"; do
  case "$place" in -*) die 2 "$usage" ;; esac
done
file="$1"
study="$(realpath -m -- "$2")"
[[ "$study" != *[$'\n\t']* ]] || die 2 "the study's directory must be a path without tabs and line breaks"
shift 2
SBATCH_OPTIONS=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  SBATCH_OPTIONS+=("$1")
  shift
done

# A second submission while jobs are in the queue would train the same cells.
if [ -e "$study/jobs.txt" ]; then
  active="$(queue --me --noheader --format=%F)" || die 1 "squeue does not answer"
  if still="$(grep -Fx -f <(sort -u <<<"$active") "$study/jobs.txt")"; then
    die 2 "jobs of this study are still in the queue: $(tr '\n' ' ' <<<"$still")"
  fi
fi

# ---- what is missing ----
# Lines of KIND COMMAND CONFIG DIRECTORY LOG RUN, with tabs between them; see simclr study --help.
missing="$("$SIMCLR" study "$file" --output="$study" "${@:2}" --missing)" || die 2 "nothing was submitted"
make_directory "$study/logs"
lists="$(mktemp -d "$study/logs/works-XXXXXX")"
trap 'rm -rf "$lists"' EXIT # until there is a job that reads them
touch "$study/jobs.txt" 2>/dev/null || die 2 "cannot write $study/jobs.txt"

# Training that can begin is a line of `train`. What waits for the run in line N has the number N (from 0): evaluations
# in `evaluate`, training in the file follow-N. Evaluations of finished runs are in `evaluate-now`, numbered by run.
declare -A line_of=() run_number=()
trainings=0 evaluations=0 followers=0
while IFS=$'\t' read -r kind command config directory log run; do
  case "$kind:$run" in
    train:-)
      printf '%s\t%s\t%s\t%s\n' "$command" "$config" "$directory" "$log" >>"$lists/train"
      line_of["$directory"]="$trainings"
      trainings=$((trainings + 1))
      ;;
    train:*)
      printf '%s\t%s\t%s\t%s\n' "$command" "$config" "$directory" "$log" >>"$lists/follow-${line_of[$run]}"
      followers=$((followers + 1))
      ;;
    evaluate:-)
      [ -n "${run_number[$directory]:-}" ] || run_number["$directory"]="${#run_number[@]}"
      printf '%s\t%s\t%s\t%s\n' "${run_number[$directory]}" "$command" "$config" "$log" >>"$lists/evaluate-now"
      evaluations=$((evaluations + 1))
      ;;
    evaluate:*)
      printf '%s\t%s\t%s\t%s\n' "${line_of[$run]}" "$command" "$config" "$log" >>"$lists/evaluate"
      evaluations=$((evaluations + 1))
      ;;
  esac
done < <(sed '/^$/d' <<<"$missing")

# ---- submitting ----
set_site_options
study_name="$(run_name "$study")"
logs="${study//%/%%}/logs" # Slurm replaces %j and its like
read_words EVALUATION_SBATCH_OPTIONS
evaluation_options=("${SBATCH_OPTIONS[@]}" --nodes="$SIMCLR_EVALUATION_NODES" "${WORDS[@]}" --kill-on-invalid-dep=yes)
training_options=(--signal=B:USR1@120 ${SIMCLR_TIME:+--time="$SIMCLR_TIME"} "${SBATCH_OPTIONS[@]}")
jobs=()

# submit_array STAGE LIST TASKS SBATCH_OPTION...: sets JOB to the number of the new job.
submit_array() {
  local stage="$1" list="$2" tasks="$3"
  shift 3
  JOB="$(submit "${SITE_OPTIONS[@]}" "$@" --job-name="$study_name-$stage" \
    --output="$logs/simclr-study-$stage-%A_%a.out" --array="0-$((tasks - 1))${AT_A_TIME:+%$AT_A_TIME}" \
    "$SIMCLR_JOBS/study.sbatch" "$stage" "$list")" || die 1 "sbatch refused the array $stage; its message is above"
  trap - EXIT
  echo "$JOB" >>"$study/jobs.txt"
  jobs+=("$JOB")
}

if [ -e "$lists/train" ]; then
  submit_array train "$lists/train" "$trainings" "${training_options[@]}"
  first="$JOB"
  if [ -e "$lists/evaluate" ]; then
    submit_array evaluate "$lists/evaluate" "$trainings" "${evaluation_options[@]}" --dependency="aftercorr:$first"
  fi
  for list in "$lists"/follow-*; do
    [ -e "$list" ] || continue
    submit_array train "$list" "$(wc -l <"$list")" "${training_options[@]}" --kill-on-invalid-dep=yes \
      --dependency="afterok:${first}_${list##*-}"
  done
fi
if [ -e "$lists/evaluate-now" ]; then
  submit_array evaluate "$lists/evaluate-now" "${#run_number[@]}" "${evaluation_options[@]}"
fi
# Writes the tables even if a cell has failed.
after="$(IFS=:; echo "${jobs[*]}")"
table="$(submit "${SITE_OPTIONS[@]}" "${evaluation_options[@]}" --nodes=1 ${after:+--dependency="afterany:$after"} \
  --job-name="$study_name-table" --output="$logs/simclr-study-table-%j.out" "$SIMCLR_JOBS/study.sbatch" table "$study")" ||
  die 1 "sbatch refused the job of the tables; its message is above"
echo "$table" >>"$study/jobs.txt"

printf '%s to train, %s to train with labels after that, %s to evaluate; jobs %s; tables: %s\n' "$trainings" \
  "$followers" "$evaluations" "$(IFS=' '; echo "${jobs[*]} $table")" "$study/table.md"
