# shellcheck shell=bash
# Functions for the scripts of this folder, which source this file: load the site's settings, find the
# program and start it on all ranks, read a run's state. $SIMCLR_JOBS must be the path of this folder.

say() { printf 'simclr job: %s\n' "$*"; }

# die CODE TEXT
die() {
  printf 'simclr job: error: %s\n' "$2" >&2
  exit "$1"
}

# load_site: reads site.env, checks its settings, loads its modules, and finds the program.
load_site() {
  local site="${SIMCLR_SITE:-$SIMCLR_JOBS/site.env}" module
  if [ -d "$site" ] || [ ! -r "$site" ]; then
    die 2 "SIMCLR_SITE: cannot read the file $site; name a copy of $SIMCLR_JOBS/site.env"
  fi
  refuse_unknown_variables "$site"
  # shellcheck source=/dev/null
  . "$site"
  check_settings "$site"
  # SIMCLR_MODULES is a list of words.
  # shellcheck disable=SC2086
  for module in $SIMCLR_MODULES; do
    module load "$module" || die 2 "module load $module failed (SIMCLR_MODULES)"
  done
  find_program
}

# ---- settings ----

# Patterns of bash for require_setting. Numbers begin with no 0, which arithmetic would take for octal, and fit in 32 bits.
COUNT='[1-9][0-9]{0,8}'
COUNT_ALLOWED="a whole number from 1 to 999999999"

# require_setting NAME PATTERN ALLOWED: ends the script if the variable NAME has a value that does not match.
require_setting() { accept_value "$1" "${!1}" "$2" "$3"; }

# accept_value NAME VALUE PATTERN ALLOWED
accept_value() { [[ "$2" =~ ^($3)$ ]] || die 2 "$1: '$2' is not accepted; allowed: $4"; }

# check_settings SITE: ends the script if a setting is missing, or is no number where it must be one.
check_settings() {
  local name
  while read -r name; do
    [ -n "${!name+set}" ] || die 2 "$1 does not set $name; copy its line from $SIMCLR_JOBS/site.env"
  done < <(sed -n 's/^: "${\(SIMCLR[A-Z_]*\):=.*/\1/p' "$SIMCLR_JOBS/site.env")
  for name in SIMCLR_GPUS_PER_NODE SIMCLR_MAX_RESTARTS SIMCLR_COMMENT_SECONDS; do
    require_setting "$name" "0|$COUNT" "0 or $COUNT_ALLOWED"
  done
  for name in SIMCLR_EVALUATION_NODES SIMCLR_MAX_IDLE_STARTS; do
    require_setting "$name" "$COUNT" "$COUNT_ALLOWED"
  done
  for name in SIMCLR_RANKS_PER_NODE SIMCLR_CPUS_PER_RANK; do
    require_setting "$name" "($COUNT)?" "$COUNT_ALLOWED, or nothing"
  done
  require_setting SIMCLR_STOP_BEFORE_MINUTES '([0-9]{1,9}(\.[0-9]*)?)?' "a number of minutes such as 2 or 0.5, or nothing"
  require_setting SIMCLR_TIME '(([0-9]+-)?[0-9]+(:[0-9]+){0,2}|UNLIMITED|INFINITE|unlimited|infinite)?' \
    "a time of Slurm such as 90 (minutes), 12:00:00 or 2-12 (days-hours), UNLIMITED, or nothing"
  read_words SIMCLR_LAUNCHER
  [ "${#WORDS[@]}" -gt 0 ] || die 2 "SIMCLR_LAUNCHER: '$SIMCLR_LAUNCHER' has no command"
}

# require_path NAME PATH: ends the script if the path of that name would be taken for an option.
require_path() { [[ "$2" != -* ]] || die 2 "$1: '$2' begins with -; write ./$2 if this is the path"; }

# make_directory PATH: also makes its parents.
make_directory() {
  local problem
  problem="$(mkdir -p -- "$1" 2>&1)" || die 2 "cannot make the directory $1: ${problem##*: }"
}

# refuse_unknown_variables SITE: ends the script if the environment has a variable that begins with SIMCLR_ and
# that neither these scripts, the site's settings nor the program (SIMCLR_SHARE, SIMCLR_CPU_ISA) know. Modules and
# package managers set SIMCLR_ROOT, SIMCLR_HOME, SIMCLR_DIR and SIMCLR_VERSION.
refuse_unknown_variables() {
  local name
  for name in $(compgen -e SIMCLR_); do
    grep -qw -- "$name" "$SIMCLR_JOBS"/*.sh "$SIMCLR_JOBS"/*.sbatch "$SIMCLR_JOBS/site.env" "$1" ||
      die 2 "unknown variable $name; $1 names those that there are"
  done
}

# refuse_mistyped NAME...: ends the script if the environment has a variable that is nearly one of these names.
refuse_mistyped() {
  local problem
  problem="$(compgen -e | awk -v names="$*" '
    function least(a, b) { return a < b ? a : b }
    function distance(a, b, i, j, d) {
      for (i = 0; i <= length(a); ++i) d[i, 0] = i
      for (j = 0; j <= length(b); ++j) d[0, j] = j
      for (i = 1; i <= length(a); ++i)
        for (j = 1; j <= length(b); ++j)
          d[i, j] = least(least(d[i - 1, j], d[i, j - 1]) + 1,
                          d[i - 1, j - 1] + (substr(a, i, 1) != substr(b, j, 1)))
      return d[length(a), length(b)]
    }
    function plain(name) { gsub(/_/, "", name); return toupper(name) }
    BEGIN { count = split(names, known, " "); for (i in known) is_known[known[i]] = 1 }
    !($0 in is_known) {
      for (i = 1; i <= count; ++i) {
        begins = $0 ~ /_/ && length($0) > 5 && index(known[i], $0) == 1
        if (begins || distance(plain($0), plain(known[i])) <= (length(known[i]) < 8 ? 1 : 2)) {
          print "unknown variable " $0 "; did you mean " known[i] "?"
          exit
        }
      }
    }')"
  [ -z "$problem" ] || die 2 "$problem"
}

# read_words NAME: splits the text of the variable NAME into WORDS as a shell does, so that quotes and backslashes
# keep blanks and empty words.
read_words() {
  local text="${!1:-}" words
  words="$(xargs -r printf '%s\n' <<<"$text" 2>/dev/null && echo end)" ||
    die 2 "$1: '$text' has a quote without its partner"
  mapfile -t WORDS <<<"$words"
  unset 'WORDS[-1]' # the word "end" keeps the empty lines before it, which $() would drop
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

# option_value NAME ARGUMENT...: prints the last value of --NAME from the arguments, or else from the file of
# their --config; nothing if neither has it.
option_value() {
  local name="$1" value="" config="" previous="" argument
  shift
  for argument in "$@"; do
    case "$previous" in
      "--$name") value="$argument" ;;
      --config) config="$argument" ;;
    esac
    case "$argument" in
      "--$name="*) value="${argument#*=}" ;;
      --config=*) config="${argument#*=}" ;;
    esac
    previous="$argument"
  done
  if [ -n "$value" ]; then
    printf '%s\n' "$value"
  elif [ -n "$config" ]; then
    configured "$name" "$config"
  fi
}

# configured NAME FILE: prints the value of NAME in a configuration file, above all sections or in the section
# of $TRAINING_COMMAND, or if that is not set, of any training command.
configured() {
  [ -r "$2" ] || return 0
  awk -F ' *= *' -v name="$1" -v section="^ *\\[(${TRAINING_COMMAND:-pretrain|finetune|supervised})\\]" '
    /^ *\[/ { other = $0 !~ section }
    $1 ~ "^ *" name " *$" && !other { sub(/^[^=]*= */, ""); sub(/ *(#.*)?$/, ""); value = $0 }
    END { print value }' <"$2"
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
  read_words SIMCLR_LAUNCHER
  LAUNCH=("${WORDS[@]}")
  case "${LAUNCH[0]##*/}" in
    srun)
      # Since Slurm 22.05, srun does not inherit --cpus-per-task from sbatch.
      LAUNCH+=(--cpus-per-task="$cpus" --distribution=block:block --cpu-bind=cores --mem-bind=local
        --kill-on-bad-exit=1)
      [ -z "${SLURM_NTASKS:-}" ] || LAUNCH+=(--ntasks="$SLURM_NTASKS")
      ;;
    mpirun* | mpiexec*)
      # MPICH's launcher, Hydra, passes the whole environment.
      if [[ "$("${LAUNCH[0]}" --version 2>/dev/null || true)" == *HYDRA* ]]; then
        LAUNCH+=(-bind-to "core:$cpus")
      else
        LAUNCH+=(--map-by "slot:PE=$cpus" --bind-to core)
        [ -z "${SLURM_JOB_END_TIME:-}" ] || LAUNCH+=(-x SLURM_JOB_END_TIME)
      fi
      [ -z "${SLURM_NTASKS:-}" ] || LAUNCH+=(-n "$SLURM_NTASKS")
      ;;
  esac
  LAUNCH+=("$SIMCLR")
}

# announce TEXT: prints the first line of a start; a job's log may have several starts.
announce() {
  say "==== $(date '+%FT%T%:z'), job $SLURM_JOB_ID${SLURM_ARRAY_TASK_ID:+ (task $SLURM_ARRAY_TASK_ID)}," \
    "restart ${SLURM_RESTART_COUNT:-0}, ${SLURM_NTASKS:-$SLURM_JOB_NUM_NODES} ranks on" \
    "$SLURM_JOB_NODELIST: $1"
}

# set_device ARGUMENT...: sets DEVICE to the option --device=cuda if the job asks for GPUs and the arguments do not
# choose a device, so that a job without a working GPU fails instead of computing slowly on the CPU.
set_device() {
  local counts="${SLURM_GPUS_PER_NODE:-$SIMCLR_GPUS_PER_NODE},${SLURM_GPUS:-},${SLURM_GPUS_PER_SOCKET:-}"
  counts+=",${SLURM_GPUS_PER_TASK:-},${SLURM_GPUS_ON_NODE:-}"
  DEVICE=()
  [ -z "$(option_value device "$@")" ] || return 0
  # The counts are COUNT or TYPE:COUNT, with commas between them; SLURM_JOB_GPUS is a list of GPUs, whose numbers begin with 0.
  if [[ ",$counts," =~ [,:]0*[1-9][0-9]*, ]] || [ -n "${SLURM_JOB_GPUS:-}" ]; then
    DEVICE=(--device=cuda)
  fi
}

# run_name DIRECTORY: prints the last part of a run's path, which names its jobs in the queue.
run_name() { basename -- "$(realpath -m -- "$1")"; }

# ---- evaluation ----

# evaluate COMMAND ARGUMENT...: runs an evaluation; data sets default to the run's --data and --eval-data.
evaluate() {
  local command="$1" checkpoint run_dir option source
  shift
  local -a data=() sources=(train-data:data test-data:eval-data)
  [ "$command" != quality ] || sources=(data:eval-data)
  checkpoint="$(option_value checkpoint "$@")"
  [ -n "$checkpoint" ] || die 2 "name a run's directory or a checkpoint with --checkpoint"
  require_path --checkpoint "$checkpoint"
  run_dir="$checkpoint"
  [ -d "$run_dir" ] || run_dir="$(dirname "$(dirname "$checkpoint")")" # RUN for RUN/checkpoints/STEP.h5
  for option in "${sources[@]}"; do
    [ -z "$(option_value "${option%:*}" "$@")" ] || continue
    source="$(configured "${option#*:}" "$run_dir/config.cfg")"
    [ -n "$source" ] || die 2 "name --${option%:*}: the run was started without --${option#*:}"
    data+=("--${option%:*}" "$source")
  done
  trap : USR1 # ignores Slurm's warning, which would end this shell
  announce "$command of $checkpoint"
  set_launch_command
  set_device "$@"
  "${LAUNCH[@]}" "$command" "$@" "${data[@]}" "${DEVICE[@]}"
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

# check_run COMMAND OPTION...: fails with the program's message if the training command would refuse the run on any
# number of ranks and nodes.
check_run() {
  local command="$1"
  shift
  set_device_of_submission "$@"
  "$SIMCLR" "$command" "$@" "${DEVICE[@]}" --dry-run=elsewhere
}

# check_evaluation COMMAND RUN_DIR ARGUMENT...: fails with the program's message if it would refuse to evaluate a
# checkpoint of the run that PROGRAM_OPTIONS start: for its data or for these options.
check_evaluation() {
  local command="$1" run_dir="$2" option
  shift 2
  read_words EVALUATION_SBATCH_OPTIONS
  local -a SBATCH_OPTIONS=("${SBATCH_OPTIONS[@]}" "${WORDS[@]}")
  local -a data=()
  for option in train-data:data test-data:eval-data; do
    [ -n "$(option_value "${option%:*}" "$@")" ] ||
      data+=("--${option%:*}=$(option_value "${option#*:}" "${PROGRAM_OPTIONS[@]}")")
  done
  set_device_of_submission "$@"
  "$SIMCLR" "$command" "$@" --checkpoint="$run_dir" "${data[@]}" "${DEVICE[@]}" --dry-run=elsewhere
}

# set_device_of_submission ARGUMENT...: as set_device, before the job is submitted, when SBATCH_OPTIONS may ask for GPUs,
# and so may variables that sbatch reads. Options take precedence over variables.
set_device_of_submission() {
  local SLURM_GPUS SLURM_GPUS_PER_NODE SLURM_GPUS_PER_TASK SLURM_GPUS_PER_SOCKET SLURM_GPUS_ON_NODE="" SLURM_JOB_GPUS
  local -a options=("${SBATCH_OPTIONS[@]/#-G/--gpus=}") # -G2, and -G 2, which the next line makes --gpus 2
  options=("${options[@]/%--gpus=/--gpus}")
  [ "$SIMCLR_GPUS_PER_NODE" = 0 ] || options=(--gpus-per-node="$SIMCLR_GPUS_PER_NODE" "${options[@]}")
  options=(--gpus="${SBATCH_GPUS:-}" --gpus-per-node="${SBATCH_GPUS_PER_NODE:-}" --gres="${SBATCH_GRES:-}"
    --gpus-per-task="${SBATCH_GPUS_PER_TASK:-}" --tres-per-task="${SBATCH_TRES_PER_TASK:-}" "${options[@]}")
  SLURM_GPUS="$(option_value gpus "${options[@]}")"
  SLURM_GPUS_PER_NODE="$(option_value gpus-per-node "${options[@]}")"
  SLURM_GPUS_PER_TASK="$(option_value gpus-per-task "${options[@]}")"
  SLURM_GPUS_PER_SOCKET="$(option_value gpus-per-socket "${options[@]}")"
  SLURM_JOB_GPUS="$(printf '%s,' "$(option_value gres "${options[@]}")" "$(option_value tres-per-task "${options[@]}")" |
    tr , '\n' | grep -E '^(gres[:/])?gpu([:=]|$)' | grep -v '[:=]0$' || true)"
  set_device "$@"
}

# set_site_options: sets SITE_OPTIONS to the options of sbatch that this site needs.
set_site_options() {
  local ranks="$SIMCLR_RANKS_PER_NODE"
  SITE_OPTIONS=()
  if [ "$SIMCLR_GPUS_PER_NODE" != 0 ]; then
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
