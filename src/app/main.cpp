// Runs a command, reports what it throws, and ends all ranks with one exit code.

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <iostream>
#include <optional>
#include <set>
#include <system_error>
#include <thread>

#include "command.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/instruction_set.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/names.hpp"
#include "simclr/core/spin_limit.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/io/first_look.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {
namespace {

constexpr int kFailed = 1;
constexpr int kRefused = 2;
/// Seconds that a failing rank waits for the others to fail as well, before it ends them.
constexpr double kFailureWaitSeconds = 0.5;

void print_help() {
  std::cout << "usage: simclr COMMAND [--config FILE] [--option value ...]\n"
               "Pretrains image encoders with SimCLR and evaluates them, on one rank or many\n"
               "(mpirun, srun).\n\ncommands:\n";
  for (const Command& c : commands()) std::cout << fmt::format("  {:<12} {}\n", c.name, c.summary);
  std::cout << "\nsimclr COMMAND --help lists a command's options, --list-options does as JSON;\n"
               "simclr --version names this build, --version --verbose its libraries, too.\n\n"
               "example: simclr pack --from folder --input photos --output shards/photos\n";
}

void print_version(bool verbose) {
  const BuildInfo build = this_build();
  std::cout << fmt::format("simclr {} ({}; {})\n", build.version, build.git_commit, build.compiler);
  if (!verbose) return;
  const BackendInfo cpu = make_cpu_backend(1)->info();
  const std::string no_cuda = why_no_cuda();
  const std::string cuda = no_cuda.empty() ? make_cuda_backend({})->info().libraries : no_cuda;
  const auto line = [](const char* what, const std::string& text) {
    std::cout << fmt::format("  {:<16} {}\n", what, text);
  };
  line("compiler", build.compiler);
  line("MPI", mpi_library_version());
  line("HDF5", hdf5_version());
  line("CPU library", cpu.libraries);
  line("CUDA", cuda);
  line("processor", cpu.model);
  line("instruction set", name_of(instruction_set()));
}

/// Whether the command can answer these arguments without MPI, as on a login node.
bool needs_no_ranks(const std::vector<std::string>& arguments) {
  static const std::set<std::string> answered_alone{"--help", "-h", "--list-options",
                                                    "--dry-run=elsewhere"};
  return std::ranges::any_of(arguments,
                             [](const std::string& a) { return answered_alone.contains(a); });
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& c : commands()) {
    if (c.name == name) return c;
    names.emplace_back(c.name);
  }
  refuse("unknown command '{}'{} (simclr --help lists them)", name, suggestion(name, names));
}

int exit_code_of(const std::exception& error) { return is_refusal(error) ? kRefused : kFailed; }

/// Reports a failure once and ends every rank. If all ranks fail, only rank 0 reports.
int end_with_failure(const std::exception& error, int rank, int ranks) {
  const std::string message = message_of(error);
  const int exit_code = exit_code_of(error);
  if (ranks == 1) {
    log::error("{}", message);
    return exit_code;
  }
  const bool all_failed = all_ranks_arrive(kFailureWaitSeconds);
  if (rank == 0 || !all_failed) log::error("{}", message);
  // A refusal that precedes all work lets MPI finalize normally.
  const bool at_work = cause_of(error) == Cause::lost_lock;
  if (all_failed && exit_code == kRefused && !at_work) return exit_code;
  if (all_failed && rank != 0) std::this_thread::sleep_for(std::chrono::seconds(2));
  abort_all_ranks(exit_code);
}

int run_guarded(const Command& command, Invocation& invocation) {
  const int rank = invocation.world.rank();
  const int ranks = invocation.world.size();
  const SpinLimit spin_limit;
  try {
    const BuildInfo build = this_build();
    require_same_values(invocation.world,
                        {{"the command", std::string(command.name)},
                         {"the program's version", build.version + " " + build.git_commit}});
    return command.run(invocation);
  } catch (const std::exception& error) {
    return end_with_failure(error, rank, ranks);
  }
}

int run_with_mpi(const Command& command, std::vector<std::string> arguments, int argc,
                 char** argv) {
  start_first_looks();
  const MpiSession session(argc, argv);
  const auto world = make_world_communicator();
  log::set_rank(world->rank(), world->size());
  Invocation invocation{std::move(arguments), *world};
  return run_guarded(command, invocation);
}

int run_program(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) refuse("name a command; see simclr --help");
  (void)instruction_set();  // refuses an invalid SIMCLR_CPU_ISA before any work
  const std::string& first = arguments.front();
  if (first == "--help" || first == "-h" || first == "help") {
    print_help();
    return 0;
  }
  if (first == "--version") {
    const bool verbose = arguments.size() == 2 && arguments.back() == "--verbose";
    if (arguments.size() > 1 && !verbose)
      refuse("option --version: takes no argument but --verbose");
    print_version(verbose);
    return 0;
  }
  const Command& command = find_command(first);
  static const std::string phase = "running simclr " + first;
  activity().begin(phase.c_str());
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (command.uses_mpi && !needs_no_ranks(rest)) {
    return run_with_mpi(command, std::move(rest), argc, argv);
  }
  const auto alone = make_self_communicator();
  Invocation invocation{std::move(rest), *alone};
  return run_guarded(command, invocation);
}

/// Returns `exit_code`, or 1 with an error if what the program has printed did not arrive.
int check_output(int exit_code) {
  if (std::cout.flush() || exit_code != 0) return exit_code;
  log::error("cannot write to the standard output: {}", std::strerror(errno));
  return kFailed;
}

}  // namespace
}  // namespace simclr

int main(int argc, char** argv) {
  // Makes writing beyond a file size limit an error to report instead of killing the process.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return simclr::check_output(simclr::run_program(argc, argv));
  } catch (const std::exception& error) {
    simclr::log::error("{}", simclr::message_of(error));
    return simclr::exit_code_of(error);
  }
}
