#pragma once
// The commands of the program. A command lives in one cmd_*.cpp, with a declaration here and a line
// in commands.cpp.

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/options.hpp"

namespace simclr {

struct BuildInfo;

/// What a command gets when it is started.
struct Invocation {
  std::vector<std::string> arguments;  ///< arguments after the command's name
  Communicator& world;                 ///< all ranks, or this rank alone

  [[nodiscard]] bool parse(Options& options) const {
    return parse_on_all_ranks(options, arguments, world);
  }
};

/// Runs a command and returns the process's exit code. Throws RefusedError (exit 2) before any
/// work, Error (exit 1) after. If the arguments contain --help or --list-options it is called with
/// this rank alone, prints the answer and returns 0 (`if (!invocation.parse(options)) return 0;`).
using RunCommand = int (*)(Invocation& invocation);

struct Command {
  std::string_view name;
  std::string_view summary;  ///< one line for `simclr --help`
  bool uses_mpi = true;      ///< false: runs on each rank alone, and without MPI on login nodes
  RunCommand run = nullptr;
};

/// All commands, in the order of `simclr --help`.
std::span<const Command> commands();

// One declaration a command; each is defined in its own cmd_*.cpp, evaluations in evaluation.cpp.
int run_bench(Invocation& invocation);
int run_preview(Invocation& invocation);
int run_embed(Invocation& invocation);
int run_evaluate(Invocation& invocation);
int run_export(Invocation& invocation);
int run_finetune(Invocation& invocation);
int run_inspect(Invocation& invocation);
int run_pack(Invocation& invocation);
int run_plan(Invocation& invocation);
int run_pretrain(Invocation& invocation);
int run_quality(Invocation& invocation);
int run_report(Invocation& invocation);
int run_study(Invocation& invocation);
int run_supervised(Invocation& invocation);
int run_distill(Invocation& invocation);
int run_knn(Invocation& invocation);
int run_linear_eval(Invocation& invocation);

/// The program's version (such as 0.1.0), the commit it was built from ("-dirty" is appended if the
/// tree was changed; "unknown" without git) and its compiler ("GNU 12.2.0, Release").
BuildInfo this_build();

}  // namespace simclr
