# shellcheck shell=bash
# Functions for the scripts of this folder, which source this file: load the site's settings, find the
# program and start it on all ranks, read a run's state. $SIMCLR_JOBS must be the path of this folder.

say() { printf 'simclr job: %s\n' "$*"; }

# die CODE TEXT
die() {
  printf 'simclr job: error: %s\n' "$2" >&2
  exit "$1"
}

# load_site: reads site.env, loads its modules, and finds the program.
load_site() {
  local site="${SIMCLR_SITE:-$SIMCLR_JOBS/site.env}" module
  [ -r "$site" ] || die 2 "cannot read $site (SIMCLR_SITE)"
  # shellcheck source=/dev/null
  . "$site"
  # SIMCLR_MODULES is a list of words.
  # shellcheck disable=SC2086
  for module in $SIMCLR_MODULES; do
    module load "$module" || die 2 "module load $module failed (SIMCLR_MODULES)"
  done
  find_program
}

# queue SQUEUE_OPTION...: asks Slurm for jobs, without the user's own filters and formats.
queue() {
  (
    unset "${!SQUEUE_@}"
    SLURM_TIME_FORMAT=standard exec squeue "$@"
  )
}

# Sets SIMCLR: the given one, ../build/simclr (source tree), ../../../bin/simclr (installed), or from PATH.
find_program() {
  local candidate
  for candidate in "$SIMCLR" "$SIMCLR_JOBS/../build/simclr" "$SIMCLR_JOBS/../../../bin/simclr" \
    "$(command -v simclr || true)"; do
    if [ -n "$candidate" ] && [ -x "$candidate" ] && [ ! -d "$candidate" ]; then
      SIMCLR="$(realpath "$candidate")"
      return
    fi
    [ -z "$SIMCLR" ] || die 2 "SIMCLR: $SIMCLR is not a program"
  done
  die 2 "no simclr beside $SIMCLR_JOBS or in PATH: build it, or set SIMCLR"
}

# option_value NAME ARGUMENT...: prints the value of --NAME from the arguments, or else from the file of
# their --config; nothing if neither has it.
option_value() {
  local name="$1" config="" previous="" argument
  shift
  for argument in "$@"; do
    case "$previous $argument" in
      "--$name "*) printf '%s\n' "$argument"; return ;;
      *" --$name="*) printf '%s\n' "${argument#*=}"; return ;;
      "--config "*) config="$argument" ;;
      *" --config="*) config="${argument#*=}" ;;
    esac
    previous="$argument"
  done
  [ -z "$config" ] || configured "$name" "$config"
}

# configured NAME FILE: prints the value of NAME in a configuration file, in [pretrain] or above all
# sections.
configured() {
  [ -r "$2" ] || return 0
  awk -F ' *= *' -v name="$1" '
    /^ *\[/ { other = !/^ *\[pretrain\]/ }
    $1 ~ "^ *" name " *$" && !other { sub(/^[^=]*= */, ""); sub(/ *(#.*)?$/, ""); value = $0 }
    END { print value }' "$2"
}

# state_field NAME FILE: prints a value of state.json, which has one field per line.
state_field() {
  [ -r "$2" ] || return 0
  sed -n "s/^ *\"$1\": *//p" "$2" | sed 's/,$//; s/^"//; s/"$//'
}

# set_launch_command: sets LAUNCH to the command that starts the program on all ranks, bound to cores and
# their local memory. It binds no GPUs, because each rank picks the GPU of its index on the node.
set_launch_command() {
  local cpus="${SLURM_CPUS_PER_TASK:-1}"
  read -r -a LAUNCH <<<"$SIMCLR_LAUNCHER"
  case "${LAUNCH[0]##*/}" in
    srun)
      # Since Slurm 22.05, srun does not inherit --cpus-per-task from sbatch.
      LAUNCH+=(--cpus-per-task="$cpus" --distribution=block:block --cpu-bind=cores --mem-bind=local
        --kill-on-bad-exit=1)
      [ -z "${SLURM_NTASKS:-}" ] || LAUNCH+=(--ntasks="$SLURM_NTASKS")
      ;;
    mpirun | mpiexec)
      LAUNCH+=(--map-by "slot:PE=$cpus" --bind-to core)
      [ -z "${SLURM_NTASKS:-}" ] || LAUNCH+=(-n "$SLURM_NTASKS")
      [ -z "${SLURM_JOB_END_TIME:-}" ] || LAUNCH+=(-x SLURM_JOB_END_TIME)
      ;;
  esac
  LAUNCH+=("$SIMCLR")
}

# announce TEXT: prints the first line of a start; a job's log may have several starts.
announce() {
  say "==== $(date '+%F %T'), job $SLURM_JOB_ID${SLURM_ARRAY_TASK_ID:+ (task $SLURM_ARRAY_TASK_ID)}," \
    "restart ${SLURM_RESTART_COUNT:-0}, ${SLURM_NTASKS:-$SLURM_JOB_NUM_NODES} ranks on" \
    "$SLURM_JOB_NODELIST: $1"
}

# ---- evaluation ----

# evaluate COMMAND ARGUMENT...: runs an evaluation; data sets default to the run's --data and --eval-data.
evaluate() {
  local command="$1" checkpoint run_dir option source
  shift
  local -a data=()
  checkpoint="$(option_value checkpoint "$@")"
  [ -n "$checkpoint" ] || die 2 "name a run's directory or a checkpoint with --checkpoint"
  run_dir="$checkpoint"
  [ -d "$run_dir" ] || run_dir="$(dirname "$(dirname "$checkpoint")")" # RUN for RUN/checkpoints/STEP.h5
  for option in train-data:data test-data:eval-data; do
    [ -z "$(option_value "${option%:*}" "$@")" ] || continue
    source="$(configured "${option#*:}" "$run_dir/config.cfg")"
    [ -n "$source" ] || die 2 "name --${option%:*}: the run was started without --${option#*:}"
    data+=("--${option%:*}" "$source")
  done
  trap : USR1 # ignores Slurm's warning, which would end this shell
  announce "$command of $checkpoint"
  set_launch_command
  "${LAUNCH[@]}" "$command" "$@" "${data[@]}"
}

# ---- submitting ----

# split_options ARGUMENT...: sets SBATCH_OPTIONS to the arguments before --, PROGRAM_OPTIONS to the others.
split_options() {
  SBATCH_OPTIONS=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    SBATCH_OPTIONS+=("$1")
    shift
  done
  [ $# -gt 1 ] || die 2 "give options of sbatch, then --, then options of simclr pretrain"
  PROGRAM_OPTIONS=("${@:2}")
}

# require_program_option NAME MEANING: ends the script if --NAME is missing
require_program_option() {
  [ -n "$(option_value "$1" "${PROGRAM_OPTIONS[@]}")" ] || die 2 "name $2 with --$1"
}

# check_run PRETRAIN_OPTION...: fails with the program's message if it would refuse the run on any number
# of ranks and nodes.
check_run() {
  "$SIMCLR" pretrain "$@" --dry-run=elsewhere
}

# set_site_options: sets SITE_OPTIONS to the options of sbatch that this site needs.
set_site_options() {
  local ranks="$SIMCLR_RANKS_PER_NODE"
  SITE_OPTIONS=()
  if [ "$SIMCLR_GPUS_PER_NODE" -gt 0 ]; then
    SITE_OPTIONS+=(--gpus-per-node="$SIMCLR_GPUS_PER_NODE")
    ranks="${ranks:-$SIMCLR_GPUS_PER_NODE}"
  fi
  [ -z "$ranks" ] || SITE_OPTIONS+=(--ntasks-per-node="$ranks")
  [ -z "$SIMCLR_CPUS_PER_RANK" ] || SITE_OPTIONS+=(--cpus-per-task="$SIMCLR_CPUS_PER_RANK")
  [ -z "$SIMCLR_PARTITION" ] || SITE_OPTIONS+=(--partition="$SIMCLR_PARTITION")
  [ -z "$SIMCLR_ACCOUNT" ] || SITE_OPTIONS+=(--account="$SIMCLR_ACCOUNT")
}

# submit SBATCH_ARGUMENT...: prints the number of the new job.
submit() {
  local answer
  answer="$(sbatch --parsable "$@")" || return
  printf '%s\n' "${answer%%;*}" # with several clusters, the answer is NUMBER;CLUSTER
}
