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

int run_help(Invocation& /*invocation*/) {
  print_help();
  return 0;
}

int run_version(Invocation& invocation) {
  const auto& arguments = invocation.arguments;
  const bool verbose = arguments == std::vector<std::string>{"--verbose"};
  if (!arguments.empty() && !verbose) refuse("option --version: takes no argument but --verbose");
  print_version(verbose);
  return 0;
}

/// The argument that a command answers without ranks, as on a login node; empty if there is none.
std::string answered_alone(const std::vector<std::string>& arguments) {
  static const std::set<std::string> known{"--help", "-h", "--list-options", "--dry-run=elsewhere"};
  const auto found =
      std::ranges::find_if(arguments, [](const std::string& a) { return known.contains(a); });
  return found == arguments.end() ? "" : *found;
}

const Command& find_command(const std::string& name) {
  static constexpr Command kHelp{"--help", "", false, run_help};
  static constexpr Command kVersion{"--version", "", false, run_version};
  if (name == "--help" || name == "-h" || name == "help") return kHelp;
  if (name == "--version") return kVersion;
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

/// Runs the command on `ranks`, which are all that the launcher has started, or on this one alone.
int run_guarded(const Command& command, std::vector<std::string> arguments, bool alone,
                Communicator& ranks) {
  const SpinLimit spin_limit;
  try {
    const BuildInfo build = this_build();
    const std::string answered = answered_alone(arguments);
    require_same_values(ranks, {{"the command", fmt::format("{}{}{}", command.name,
                                                            answered.empty() ? "" : " ", answered)},
                                {"the program's version", build.version + " " + build.git_commit}});
    const auto self = make_self_communicator();
    Invocation invocation{std::move(arguments), alone ? *self : ranks};
    return command.run(invocation);
  } catch (const std::exception& error) {
    return end_with_failure(error, ranks.rank(), ranks.size());
  }
}

int run_with_mpi(const Command& command, std::vector<std::string> arguments, bool alone, int argc,
                 char** argv) {
  start_first_looks();
  const MpiSession session(argc, argv);
  const auto world = make_world_communicator();
  log::set_rank(world->rank(), world->size());
  return run_guarded(command, std::move(arguments), alone, *world);
}

int run_program(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) refuse("name a command; see simclr --help");
  (void)instruction_set();  // refuses an invalid SIMCLR_CPU_ISA before any work
  const std::string& first = arguments.front();
  const Command& command = find_command(first);
  static const std::string phase = "running simclr " + first;
  activity().begin(phase.c_str());
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  // A rank that answers alone meets the others only where they may do something else: these would
  // wait for it for ever. A process can start MPI once, and scripts may start several commands.
  const bool alone = !command.uses_mpi || !answered_alone(rest).empty();
  if (!alone || launched_with_other_commands()) {
    return run_with_mpi(command, std::move(rest), alone, argc, argv);
  }
  const auto self = make_self_communicator();
  return run_guarded(command, std::move(rest), alone, *self);
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
