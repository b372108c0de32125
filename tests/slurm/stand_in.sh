#!/usr/bin/env bash
# Replaces `simclr` in tests of the job scripts that need it to end in a certain way: rank 0 writes a run's
# files like pretraining and ends as $END says. Evaluations and dry runs succeed.
set -euo pipefail
[ "$1" = pretrain ] || exit 0
run=""
for argument; do
  case "$argument" in
    --run-dir=*) run="${argument#*=}" ;;
    --dry-run=*) exit 0 ;;
  esac
done
sed -n 's/^Cpus_allowed_list:\t//p' /proc/self/status >"$run/cores-of-rank-$SLURM_PROCID"
[ "$SLURM_PROCID" = 0 ] || exit 0
# Waits until all ranks have begun, because a failure of rank 0 ends the others.
until [ "$(find "$run" -name 'cores-of-rank-*' | wc -l)" -ge "$SLURM_STEP_NUM_TASKS" ]; do sleep 0.05; done
mkdir -p "$run/checkpoints"
touch "$run/config.cfg"
step="$(find "$run/checkpoints" -name 'step-*.h5' | wc -l)"

# state STATUS REASON RESUBMIT
state() {
  printf '{\n  "status": "%s",\n  "step": %d,\n  "reason": "%s",\n  "resubmit": %s,\n  "restarts": 0\n}\n' \
    "$1" "$step" "$2" "$3" >"$run/state.json.new"
  mv "$run/state.json.new" "$run/state.json"
}
checkpoint() {
  step=$((step + 1))
  touch "$run/checkpoints/$(printf 'step-%010d.h5' "$step")"
}

state running "" true
case "$END" in
  stuck) state failed "disk on fire" true; exit 1 ;;
  hopeless) state failed "loss of 1e9" false; exit 1 ;;
  crash) kill -KILL $$ ;;
  sleep) sleep 60 ;;
  forward) checkpoint; state stopped-early "signal SIGUSR1" true; exit 75 ;;
  second-start)
    checkpoint
    [ "$step" -lt 2 ] || { state finished "all epochs done" false; exit 0; }
    state stopped-early "signal SIGUSR1" true
    exit 75
    ;;
esac
