#include "simclr/comm/session.hpp"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <thread>

#include "mpi_check.hpp"
#include "simclr/core/log.hpp"
#include "start_limit.hpp"

namespace simclr {
namespace {

/// A communicator for all_ranks_arrive() alone, so that messages in flight elsewhere cannot disturb
/// it.
MPI_Comm& arrival_comm() {
  static MPI_Comm comm = MPI_COMM_NULL;
  return comm;
}

/// The number in an environment variable; -1 if it has none.
long number_in(const char* variable) {
  const char* text = std::getenv(variable);
  const std::string_view digits = text != nullptr ? text : "";
  long number = -1;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), number);
  return error == std::errc() && end == digits.end() ? number : -1;
}

/// Whether an environment variable has a name that begins like this.
bool has_variable(std::string_view beginning) {
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::string_view(*variable).starts_with(beginning)) return true;
  }
  return false;
}

/// Warns before MPI starts if srun has told the ranks of a step no way to find each other: most MPI
/// libraries then end the process with a text of their own, which does not name the option of srun.
void warn_without_protocol() {
  const bool in_step = evidence_of_other_ranks().starts_with("SLURM_");
  if (!in_step || number_in("SLURM_PROCID") > 0) return;
  constexpr std::array kProtocols{"PMI_", "PMIX_NAMESPACE", "PMIX_RANK", "OMPI_COMM_WORLD_",
                                  "MV2_", "PALS_"};
  if (std::ranges::any_of(kProtocols, has_variable)) return;
  log::warning(
      "srun has given its ranks no PMIx and no PMI, by which MPI would connect them; if MPI does "
      "not start now, use srun --mpi=pmix");
}

/// MPI starts when all ranks start it. If one never does, the others would wait for ever, with no
/// rank 0 yet to watch them.
StartLimit limit_of_start() {
  using std::chrono::seconds;
  constexpr seconds kWarning{30};
  constexpr seconds kEnd{600};
  constexpr const char* kText =
      "MPI has not started for {} s: a rank of this job has not started it; it may run another "
      "command (simclr --help needs no MPI) or another program, have ended, or wait for its node{}";
  const auto warn = [=] { log::warning(kText, kWarning.count(), ""); };
  const auto end = [=] {
    log::error(kText, kEnd.count(), "; the job ends");
    std::fflush(nullptr);
    std::_Exit(1);
  };
  return StartLimit({{kWarning, warn}, {kEnd, end}});
}

/// Refuses a process that the MPI library takes for the only one, although its launcher has started
/// several: each would do all the work, and all would write the same files.
void require_launcher_support() {
  int ranks = 0;
  mpi_check(MPI_Comm_size(MPI_COMM_WORLD, &ranks), "MPI_Comm_size");
  const std::string evidence = evidence_of_other_ranks();
  if (ranks > 1 || evidence.empty()) return;
  refuse(
      "each rank has started alone: the launcher has started several ({}), but the MPI library "
      "({}) does not know its protocol; use the mpirun of this library, or srun with a protocol "
      "that it knows (Open MPI: srun --mpi=pmix, MPICH: srun --mpi=pmi2); for one rank, tell the "
      "launcher to start one (srun --ntasks=1)",
      evidence, mpi_library_version());
}

}  // namespace

std::string evidence_of_other_ranks() {
  const auto say = [](const char* variable) {
    return fmt::format("{}={}", variable, number_in(variable));
  };
  for (const char* size : {"OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    if (number_in(size) > 0) return number_in(size) > 1 ? say(size) : "";
  }
  constexpr long kFirstSpecialStep = 4294967290;  // SLURM_INTERACTIVE_STEP, SLURM_BATCH_SCRIPT, ...
  const long step = number_in("SLURM_STEP_ID");
  if (step < kFirstSpecialStep) {
    const long tasks = number_in("SLURM_STEP_NUM_TASKS");
    if (tasks > 0) return tasks > 1 ? say("SLURM_STEP_NUM_TASKS") : "";
    const bool in_step = step >= 0 && std::getenv("SLURM_PROCID") != nullptr;
    if (in_step && number_in("SLURM_NTASKS") > 1) return say("SLURM_NTASKS");
  }
  return number_in("PMIX_RANK") > 0 ? say("PMIX_RANK") : "";
}

bool launched_with_other_commands() { return number_in("OMPI_NUM_APP_CTX") > 1; }

MpiSession::MpiSession(int& argc, char**& argv) : uncaught_(std::uncaught_exceptions()) {
  warn_without_protocol();
  int provided = MPI_THREAD_SINGLE;
  {
    const StartLimit limit = limit_of_start();
    mpi_check(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  }
  mpi_check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  if (provided < MPI_THREAD_MULTIPLE) {
    refuse(
        "this MPI library does not provide MPI_THREAD_MULTIPLE, which the loader's threads need; "
        "use an MPI built with thread support");
  }
  require_launcher_support();
  mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &arrival_comm()), "MPI_Comm_dup");
}

MpiSession::~MpiSession() {
  if (std::uncaught_exceptions() > uncaught_ || !mpi_is_live()) return;
  if (arrival_comm() != MPI_COMM_NULL) MPI_Comm_free(&arrival_comm());
  MPI_Finalize();
}

bool all_ranks_arrive(double seconds) {
  if (!mpi_is_live() || arrival_comm() == MPI_COMM_NULL) return true;
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(arrival_comm(), &request) != MPI_SUCCESS) return false;
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration<double>(seconds);
  int done = 0;
  while (MPI_Test(&request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done == 0 &&
         Clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return done != 0;
}

std::string mpi_library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  mpi_check(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  std::string version(text.data(), static_cast<std::size_t>(length));
  std::ranges::replace(version, '\t', ' ');  // MPICH's is a table
  return version.substr(0, std::min(version.find('\n'), version.find('\0')));
}

void abort_all_ranks(int exit_code) {
  std::fflush(nullptr);
  if (mpi_is_live()) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace simclr
