# shellcheck shell=bash
# What the scripts of this folder share: the site's settings, the program, starting it on all ranks,
# reading a run's state. Sourced; the folder's path is in $SIMCLR_JOBS.

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
  # The unquoted lists of this file are lists of words.
  # shellcheck disable=SC2086
  for module in $SIMCLR_MODULES; do
    module load "$module" || die 2 "module load $module failed (SIMCLR_MODULES)"
  done
  find_program
}

# Beside this folder it is ../build/simclr (source tree) or ../../../bin/simclr (installed).
find_program() {
  local candidate
  for candidate in "$SIMCLR" "$SIMCLR_JOBS/../build/simclr" "$SIMCLR_JOBS/../../../bin/simclr" \
    "$(command -v simclr || true)"; do
    if [ -n "$candidate" ] && [ -x "$candidate" ] && [ ! -d "$candidate" ]; then
      SIMCLR="$(realpath "$candidate")"
      return
    fi
    [ -z "$SIMCLR" ] || die 2 "SIMCLR: $SIMCLR is no program"
  done
  die 2 "no simclr beside $SIMCLR_JOBS or in PATH: build it, or set SIMCLR"
}

# option_value NAME ARGUMENT...: the value of --NAME, from the arguments or else from the file that
# their --config names. Empty where it is given in neither.
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

# configured NAME FILE: the value of NAME in a configuration file, [pretrain]'s or a common one.
configured() {
  [ -r "$2" ] || return 0
  awk -F ' *= *' -v name="$1" '
    /^ *\[/ { other = !/^ *\[pretrain\]/ }
    $1 ~ "^ *" name " *$" && !other { sub(/^[^=]*= */, ""); sub(/ *(#.*)?$/, ""); value = $0 }
    END { print value }' "$2"
}

# state_field NAME FILE: a value of state.json, in which every field has a line of its own.
state_field() {
  [ -r "$2" ] || return 0
  sed -n "s/^ *\"$1\": *//p" "$2" | sed 's/,$//; s/^"//; s/"$//'
}

# set_launch_command: LAUNCH becomes what starts the program on all ranks, bound to cores and the
# memory beside them. A rank picks its GPU by its place on the node, so none is bound here.
set_launch_command() {
  local cpus="${SLURM_CPUS_PER_TASK:-1}"
  read -r -a LAUNCH <<<"$SIMCLR_LAUNCHER"
  case "${LAUNCH[0]##*/}" in
    srun)
      # srun does not take --cpus-per-task over from sbatch (since Slurm 22.05).
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

# announce TEXT: the first line of every start in a job's log, which later starts append to.
announce() {
  say "==== $(date '+%F %T'), job $SLURM_JOB_ID${SLURM_ARRAY_TASK_ID:+ (task $SLURM_ARRAY_TASK_ID)}," \
    "restart ${SLURM_RESTART_COUNT:-0}, ${SLURM_NTASKS:-$SLURM_JOB_NUM_NODES} ranks on" \
    "$SLURM_JOB_NODELIST: $1"
}

# ---- evaluation -------------------------------------------------------------------------------------

# evaluate COMMAND ARGUMENT...: with the run's own --data and --eval-data where no others are named.
evaluate() {
  local command="$1" checkpoint run_dir option source
  shift
  local -a data=()
  checkpoint="$(option_value checkpoint "$@")"
  [ -n "$checkpoint" ] || die 2 "name a run's directory or a checkpoint with --checkpoint"
  run_dir="$checkpoint"
  [ -d "$run_dir" ] || run_dir="$(dirname "$(dirname "$checkpoint")")" # of RUN/checkpoints/STEP.h5
  for option in train-data:data test-data:eval-data; do
    [ -z "$(option_value "${option%:*}" "$@")" ] || continue
    source="$(configured "${option#*:}" "$run_dir/config.cfg")"
    [ -n "$source" ] || die 2 "name --${option%:*}: the run was started without --${option#*:}"
    data+=("--${option%:*}" "$source")
  done
  trap : USR1 # a warning of no use here; it would end this shell
  announce "$command of $checkpoint"
  set_launch_command
  "${LAUNCH[@]}" "$command" "$@" "${data[@]}"
}

# ---- submitting -------------------------------------------------------------------------------------

# split_options ARGUMENT...: SBATCH_OPTIONS before --, PROGRAM_OPTIONS behind it.
split_options() {
  SBATCH_OPTIONS=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    SBATCH_OPTIONS+=("$1")
    shift
  done
  [ $# -gt 1 ] || die 2 "options of sbatch, then --, then options of simclr pretrain are expected"
  PROGRAM_OPTIONS=("${@:2}")
}

# require_program_option NAME MEANING
require_program_option() {
  [ -n "$(option_value "$1" "${PROGRAM_OPTIONS[@]}")" ] || die 2 "name $2 with --$1"
}

# check_run PRETRAIN_OPTION...: fails, with the program's message, where pretraining would be refused
# whatever the job's ranks, nodes and time.
check_run() {
  "$SIMCLR" pretrain "$@" --dry-run=elsewhere
}

# set_site_options: SITE_OPTIONS becomes what sbatch has to be told on this site.
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
  printf '%s\n' "${answer%%;*}" # NUMBER;CLUSTER where there are several clusters
}
