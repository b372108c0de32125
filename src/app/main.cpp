// Runs a command, reports what it throws, and ends all ranks with one exit code.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <set>
#include <system_error>
#include <thread>

#include "command.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/instruction_set.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/names.hpp"
#include "simclr/io/first_look.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {
namespace {

constexpr int kFailed = 1;
constexpr int kRefused = 2;
/// Seconds that a failing rank waits for the others to fail as well, before it ends them.
constexpr double kFailureWaitSeconds = 0.5;
/// Number of spins before a waiting thread sleeps, about 20 microseconds: longer than most gaps
/// between the parallel regions of a step, shorter than the milliseconds for which a busy machine
/// takes a core away. GNU's default is 300 times as long; waiting threads then occupy the cores
/// that the threads they wait for need.
constexpr const char* kSpinCount = "1000";

/// Bounds how long OpenMP threads spin before they sleep while they wait for each other. GNU's
/// runtime reads the bound from the environment before main() begins, so this sets GOMP_SPINCOUNT
/// and restarts the program in the same process. Does nothing if the environment already has
/// GOMP_SPINCOUNT or OMP_WAIT_POLICY, or if the restart is impossible.
void bound_spinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  std::error_code unknown;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (unknown || ::setenv("GOMP_SPINCOUNT", kSpinCount, 1) != 0) return;
  // Returns only if it fails; the program then continues without the bound.
  ::execv(program.c_str(), argv);
}

void print_help() {
  std::cout << "usage: simclr COMMAND [--config FILE] [--option value ...]\n"
               "Pretrains image encoders with SimCLR and evaluates them, on one rank or many\n"
               "(mpirun, srun).\n\ncommands:\n";
  for (const Command& c : commands()) std::cout << fmt::format("  {:<12} {}\n", c.name, c.summary);
  std::cout << "\nsimclr COMMAND --help lists a command's options, --list-options does as JSON;\n"
               "simclr --version names this build.\n";
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

/// Reports a failure once and ends every rank. If all ranks fail, only rank 0 reports.
int end_with_failure(const std::string& message, int exit_code, int rank, int ranks) {
  if (ranks == 1) {
    log::error("{}", message);
    return exit_code;
  }
  const bool all_failed = all_ranks_arrive(kFailureWaitSeconds);
  if (rank == 0 || !all_failed) log::error("{}", message);
  // A refusal precedes all work, so MPI can finalize normally.
  if (all_failed && exit_code == kRefused) return exit_code;
  if (all_failed && rank != 0) std::this_thread::sleep_for(std::chrono::seconds(2));
  abort_all_ranks(exit_code);
}

int run_guarded(const Command& command, Invocation& invocation) {
  const int rank = invocation.world.rank();
  const int ranks = invocation.world.size();
  try {
    return command.run(invocation);
  } catch (const RefusedError& error) {
    return end_with_failure(error.what(), kRefused, rank, ranks);
  } catch (const std::exception& error) {
    return end_with_failure(error.what(), kFailed, rank, ranks);
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
    const BuildInfo build = this_build();
    std::cout << fmt::format("simclr {} ({}; {})\n", build.version, build.git_commit,
                             build.compiler);
    return 0;
  }
  const Command& command = find_command(first);
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (command.uses_mpi && !needs_no_ranks(rest)) {
    return run_with_mpi(command, std::move(rest), argc, argv);
  }
  const auto alone = make_self_communicator();
  Invocation invocation{std::move(rest), *alone};
  return run_guarded(command, invocation);
}

}  // namespace
}  // namespace simclr

int main(int argc, char** argv) {
  simclr::bound_spinning(argv);
  // Makes writing beyond a file size limit an error to report instead of killing the process.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    return simclr::run_program(argc, argv);
  } catch (const simclr::RefusedError& error) {
    simclr::log::error("{}", error.what());
    return simclr::kRefused;
  } catch (const std::exception& error) {
    simclr::log::error("{}", error.what());
    return simclr::kFailed;
  }
}
