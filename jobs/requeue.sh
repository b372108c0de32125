# shellcheck shell=bash
# Runs one start of a training job and then decides whether to requeue it. Source this after lib.sh.
#
# Launchers lose exit codes, and Slurm counts a job that ends with 0 in its grace time as completed, so
# the decision follows the run's state.json, which the program writes:
#   finished                              the job is done
#   stopped-early                         a signal or the time limit: requeue
#   failed, "resubmit": true              a lost node, an I/O error: requeue
#   failed otherwise                      the job fails, and jobs that depend on it are canceled
#   running, although the launcher ended  the program crashed: requeue
#   not written by this job's start       the launch failed: requeue
# It is not asked if the launcher ends with code 2, or if the run's lock belongs to another start: the program
# refused the run, or has lost it to that start. The job then fails with code 2.
# A job is requeued at most $SIMCLR_MAX_RESTARTS times, and not after $SIMCLR_MAX_IDLE_STARTS starts in a
# row without a new checkpoint. If Slurm itself ends the job (scancel, a node that is down, preemption
# without a warning), Slurm decides whether it starts again.

# The job's name for Slurm's commands, for which an array's job number would mean all its tasks.
THIS_JOB="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}"
THIS_JOB="${THIS_JOB:-$SLURM_JOB_ID}"

# training_job COMMAND ARGUMENT...: runs a training command and exits. The caller must have trapped USR1 and
#   TERM, to set STOP_WANTED=true and ENDED_BY_SLURM=true.
training_job() {
  local code=0
  TRAINING_COMMAND="$1"
  shift
  RUN_DIR="$(option_value run-dir "$@")"
  [ -n "$RUN_DIR" ] || die 2 "name the run's directory with --run-dir"
  require_path --run-dir "$RUN_DIR"
  STATE="$RUN_DIR/state.json"
  RESUBMIT="$(resubmission "$@")"
  local -A doing=([pretrain]=pretraining [finetune]="fine-tuning" [supervised]="supervised training")
  announce "${doing[$TRAINING_COMMAND]} in $RUN_DIR from step $(newest_checkpoint)"
  require_progress
  free_lock
  record_start
  set_deadline "$@"
  set_launch_command
  set_device "$@"
  prepare_comments
  STATE_BEFORE="$(state_mark)"
  run_until_end "${LAUNCH[@]}" "$TRAINING_COMMAND" "$@" "${DEVICE[@]}" "${DEADLINE[@]}" || code=$?
  settle "$code"
}

# ---- the run directory ----

# Prints a mark that changes whenever state.json is written.
state_mark() { stat -c '%i %y' "$STATE" 2>/dev/null || true; }

# Whether this start has written state.json, and not another job that uses the same run directory.
program_has_begun() {
  local job
  [ "$(state_mark)" != "$STATE_BEFORE" ] || return 1
  job="$(state_field job "$STATE")"
  [ -z "$job" ] || [ "$job" = "$SLURM_JOB_ID" ]
}

# Prints the step of the newest checkpoint; 0 without one.
newest_checkpoint() {
  local file newest=0 step
  for file in "$RUN_DIR"/checkpoints/step-*.h5; do
    step="${file##*/step-}"
    step="${step%.h5}"
    [[ "$step" =~ ^[0-9]+$ ]] && newest="$((10#$step))" # names are in order of steps
  done
  printf '%s\n' "$newest"
}

# Appends a line to starts.log: DATE TIME job JOB restart N step STEP ...
record_start() {
  make_directory "$RUN_DIR"
  printf '%s job %s restart %s step %s ranks %s nodes %s\n' "$(date '+%F %T%:z')" "$SLURM_JOB_ID" \
    "${SLURM_RESTART_COUNT:-0}" "$(newest_checkpoint)" "${SLURM_NTASKS:-?}" "$SLURM_JOB_NODELIST" \
    2>/dev/null >>"$RUN_DIR/starts.log" || die 2 "cannot write $RUN_DIR/starts.log"
}

# Prints how many of this job's latest starts began at the present newest checkpoint.
idle_starts() {
  [ -r "$RUN_DIR/starts.log" ] || { echo 0; return; }
  awk -v job="$SLURM_JOB_ID" -v step="$(newest_checkpoint)" '
    $4 == job { idle = $8 == step ? idle + 1 : 0 }
    END { print idle + 0 }' "$RUN_DIR/starts.log"
}

require_progress() {
  local idle reason
  idle="$(idle_starts)"
  [ "$idle" -ge "$SIMCLR_MAX_IDLE_STARTS" ] || return 0
  reason="$(state_field reason "$STATE")"
  die 1 "no progress: $idle starts in a row wrote no checkpoint after step $(newest_checkpoint)\
${reason:+ (the latest reason: $reason)}; after fixing the cause: $RESUBMIT"
}

# lock_field NAME: prints a value of the run's lock, which is one line; nothing if it is no plain file.
lock_field() {
  [ -f "$RUN_DIR/lock" ] && [ ! -L "$RUN_DIR/lock" ] || return 0
  sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" "$RUN_DIR/lock"
}

# Deletes the run's lock if it belongs to another job of this cluster that has ended. Job numbers of other clusters
# say nothing here. The answer about this job shows that Slurm's controller knows its jobs.
free_lock() {
  local lock="$RUN_DIR/lock" holder states ended
  holder="$(lock_field job)"
  [ -n "$holder" ] && [ "$holder" != "$SLURM_JOB_ID" ] && [ -O "$lock" ] || return 0
  [ -n "${SLURM_CLUSTER_NAME:-}" ] && [ "$(lock_field cluster)" = "$SLURM_CLUSTER_NAME" ] || return 0
  states="$(
    unset SLURM_CLUSTERS
    queue --states=all --jobs="$SLURM_JOB_ID,$holder" --noheader --format='%A %T'
  )" || return 0
  grep -q "^$SLURM_JOB_ID " <<<"$states" || return 0
  ended='COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY|BOOT_FAIL|DEADLINE|PREEMPTED|REVOKED'
  if grep "^$holder " <<<"$states" | grep -Eqv " ($ended)\$"; then return 0; fi
  [ "$(lock_field job)" = "$holder" ] || return 0
  say "$lock was left by job $holder, which has ended; deleting it"
  rm -f "$lock"
}

# Whether the run's lock belongs to another job that still touches it, or to a later start of this one.
another_start_holds_lock() {
  local job restart
  job="$(lock_field job)"
  [ -n "$job" ] || return 1
  if [ "$job/$(lock_field cluster)" != "$SLURM_JOB_ID/${SLURM_CLUSTER_NAME:-}" ]; then
    [ -n "$(find "$RUN_DIR/lock" -mmin -5)" ]
  else
    restart="$(lock_field job_restart)"
    [ "${restart:-0}" -gt "${SLURM_RESTART_COUNT:-0}" ]
  fi
}

# ---- running the program ----

# set_deadline ARGUMENT...: exports the job's end time for the program and sets DEADLINE to the program's option.
set_deadline() {
  local end left before
  DEADLINE=()
  if [ -z "${SLURM_JOB_END_TIME:-}" ]; then
    end="$(queue --noheader --job "$THIS_JOB" --format=%e)"
    [[ "$end" == [0-9]* ]] || return 0 # no time limit
    SLURM_JOB_END_TIME="$(date -d "$end" +%s)"
    export SLURM_JOB_END_TIME
  fi
  [ -z "$(option_value stop-before-minutes "$@")" ] || return 0
  if [ -n "$SIMCLR_STOP_BEFORE_MINUTES" ]; then
    DEADLINE=("--stop-before-minutes=$SIMCLR_STOP_BEFORE_MINUTES")
    return
  fi
  left=$((SLURM_JOB_END_TIME - $(date +%s)))
  before=$((left < 1200 ? left / 10 : 120))
  DEADLINE=("--stop-before-minutes=$(printf '%d.%02d' $((before / 60)) $((before % 60 * 100 / 60)))")
}

# ---- in the queue ----

COMMENT_PREFIX="simclr: " LAST_COMMENT=""

# prepare_comments: sets COMMENT_EVERY to the seconds between comments; 0 for none: the user has commented the job
# already, or Slurm does not answer.
prepare_comments() {
  local job
  COMMENT_EVERY="$SIMCLR_COMMENT_SECONDS" NEXT_COMMENT="$SECONDS"
  job="$(timeout 10 scontrol show job "$THIS_JOB" 2>/dev/null)" || COMMENT_EVERY=0
  ! grep -q '^ *Comment=[^ ]' <<<"$job" || grep -q "^ *Comment=$COMMENT_PREFIX" <<<"$job" || COMMENT_EVERY=0
}

# Prints the newest logged step and its loss: "RUN: step 120, loss 5.5123".
progress() {
  local row step loss
  row="$(tail -n 1 "$RUN_DIR/metrics.jsonl" 2>/dev/null)" || true
  step="$(sed -n 's/.*"step":\([0-9]*\)[,}].*/\1/p' <<<"$row")"
  loss="$(sed -n 's/.*"loss":\([-+.e0-9]*\)[,}].*/\1/p' <<<"$row")"
  printf '%s: step %s%s\n' "$(run_name "$RUN_DIR")" "${step:-$(newest_checkpoint)}" "${loss:+, loss $(LC_ALL=C printf '%.4f' "$loss")}"
}

# Makes progress the job's comment, in the background, when it is time to. It never fails the job.
comment_progress() {
  local text
  [ "$COMMENT_EVERY" -gt 0 ] && [ "$SECONDS" -ge "$NEXT_COMMENT" ] || return 0
  NEXT_COMMENT=$((SECONDS + COMMENT_EVERY))
  text="$COMMENT_PREFIX$(progress)"
  [ "$text" != "$LAST_COMMENT" ] || return 0
  LAST_COMMENT="$text"
  timeout 10 scontrol update "JobId=$THIS_JOB" "Comment=$text" >/dev/null 2>&1 &
}

# run_until_end COMMAND...: runs it, and passes USR1 on to the program once it can catch it.
run_until_end() {
  local launcher sent=false pause
  "$@" &
  launcher=$!
  while kill -0 "$launcher" 2>/dev/null; do
    if $STOP_WANTED && ! $sent && program_has_begun; then
      say "USR1: the program writes a checkpoint and stops ($(date +%T))"
      kill -USR1 "$launcher" 2>/dev/null || true
      sent=true
    fi
    comment_progress
    pause=1
    ! $STOP_WANTED || $sent || pause=0.1
    sleep "$pause" &
    wait $! || true # a signal interrupts the wait
  done
  wait "$launcher"
}

# ---- after the program ----

# settle CODE: ends the job after the launcher has ended with CODE.
settle() {
  local status reason
  [ "$1" -ne 2 ] || refused
  ! another_start_holds_lock || die 2 "$RUN_DIR is in use by job $(lock_field job); this job has stopped"
  if ! program_has_begun; then
    try_again "the launcher ended with code $1 before the program began"
  fi
  status="$(state_field status "$STATE")"
  reason="$(state_field reason "$STATE")"
  case "$status" in
    finished) say "finished at step $(newest_checkpoint): $reason"; exit 0 ;;
    stopped-early) try_again "stopped early: $reason" ;;
    running) try_again "the program crashed; the launcher ended with code $1" ;;
    failed)
      [ "$(state_field resubmit "$STATE")" != true ] || try_again "failed: $reason"
      die 1 "failed, and would fail again: $reason"
      ;;
    *) die 1 "$STATE says '$status'" ;;
  esac
}

# A refused run writes nothing, so this removes what the script has written. A start that has lost its run directory to
# another ends in this way, too.
refused() {
  if [ ! -e "$RUN_DIR/config.cfg" ]; then
    rm -f "$RUN_DIR/starts.log"
    rmdir "$RUN_DIR" 2>/dev/null || true
  fi
  die 2 "the program refused the run; its message is above"
}

# try_again REASON: lets Slurm start this job again from the newest checkpoint.
try_again() {
  local restart="${SLURM_RESTART_COUNT:-0}"
  say "$1 (newest checkpoint: step $(newest_checkpoint))"
  if $ENDED_BY_SLURM; then
    say "Slurm is ending this job and decides whether it starts again; if not: $RESUBMIT"
    exit 75
  fi
  require_progress
  [ "$restart" -lt "$SIMCLR_MAX_RESTARTS" ] ||
    die 75 "restarted $restart times, the limit (SIMCLR_MAX_RESTARTS); to go on: $RESUBMIT"
  say "requeueing job $THIS_JOB (restart $((restart + 1)) of at most $SIMCLR_MAX_RESTARTS)"
  scontrol requeue "$THIS_JOB" ||
    die 75 "Slurm refuses to requeue this job; to go on: $RESUBMIT"
  exit 75 # has no effect, since the job is already in the queue
}

# resubmission ARGUMENT...: prints the command that starts this job again by hand.
resubmission() {
  local -a command=(sbatch --nodes="$SLURM_JOB_NUM_NODES" --partition="$SLURM_JOB_PARTITION")
  [ -z "${SLURM_NTASKS_PER_NODE:-}" ] || command+=(--ntasks-per-node="$SLURM_NTASKS_PER_NODE")
  [ -z "${SLURM_CPUS_PER_TASK:-}" ] || command+=(--cpus-per-task="$SLURM_CPUS_PER_TASK")
  [ -z "${SLURM_GPUS_PER_NODE:-}" ] || command+=(--gpus-per-node="$SLURM_GPUS_PER_NODE")
  case "$TRAINING_COMMAND" in
    supervised) command+=("$SIMCLR_JOBS/finetune.sbatch" supervised "$@") ;;
    *) command+=("$SIMCLR_JOBS/$TRAINING_COMMAND.sbatch" "$@") ;;
  esac
  printf '%q ' "${command[@]}"
}
