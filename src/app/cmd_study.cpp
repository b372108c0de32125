// Studies: a grid of runs from one file.

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <sstream>
#include <system_error>

#include "command.hpp"
#include "evaluation.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/names.hpp"
#include "simclr/study/study.hpp"
#include "simclr/train/encoder_training.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

constexpr double kMostStudyRanks = 1 << 20;

/// What is asked of the study; several may be.
struct Wishes {
  bool run = false, table = false, missing = false, dry_run = false;
  int ranks = 1;
};

struct StudyCommandLine {
  StudyConfig config;
  Wishes wishes;
  Options options{"study",
                  "Makes the cells of a study: all combinations of the values in section [axes] "
                  "of a file, each with its run directory and configuration; cells with the same "
                  "pretraining options share a run. A second call may add cells and goes on. The "
                  "other sections of the file have the options of the commands that it runs: "
                  "pretrain, quality, knn, linear-eval, finetune, supervised.",
                  {"study"}};

  StudyCommandLine() {
    declare_study(options, config);
    options.require_given({"file"});
    options.group("what to do")
        .flag("run", wishes.run,
              "run here what is missing, one after another, and write the tables; a cell that "
              "fails does not stop the others")
        .add("ranks", wishes.ranks, "ranks of each run, with mpirun if there are several")
        .range(at_least(1).at_most(kMostStudyRanks))
        .flag("table", wishes.table, "write table.md, table.csv and study.html")
        .flag("missing", wishes.missing,
              "list what is missing, for job scripts: a line each, with tabs between train or "
              "evaluate, command, configuration, directory, log, and the run to wait for or -")
        .flag("dry-run", wishes.dry_run, "check everything, write nothing")
        .example(
            "simclr study configs/studies/temperature-cifar10.cfg \\\n"
            "      --data shards/train --eval-data shards/test --output studies/t --run");
  }
};

DeclaredCommand declare_command(const std::string& command) {
  if (command == "quality") return declare_quality();
  const auto& training = training_commands();
  if (std::ranges::find(training, command) == training.end()) return declare_evaluation(command);
  struct Training {
    AnyTraining config;
    Options options;
    explicit Training(const std::string& name) : config(name), options(declared_options(*config)) {}
  };
  const auto declared = std::make_shared<Training>(command);
  return {.target = declared, .options = {declared, &declared->options}};
}

/// Lets the command check its arguments, without its line that says what it would do.
void check_command(const std::string& command, std::vector<std::string> arguments, bool here,
                   Communicator& self) {
  const auto all = commands();
  const auto found = std::ranges::find(all, command, &Command::name);
  arguments.emplace_back(here ? "--dry-run=here" : "--dry-run=elsewhere");
  Invocation invocation{std::move(arguments), self};
  std::ostringstream said;
  std::streambuf* const out = std::cout.rdbuf(said.rdbuf());
  try {
    found->run(invocation);
  } catch (...) {
    std::cout.rdbuf(out);
    throw;
  }
  std::cout.rdbuf(out);
}

void require_mpirun() {
  std::istringstream path(std::getenv("PATH") == nullptr ? "" : std::getenv("PATH"));
  for (std::string folder; std::getline(path, folder, ':');) {
    if (::access((fs::path(folder) / "mpirun").c_str(), X_OK) == 0) return;
  }
  refuse("option --ranks: several ranks need mpirun, which is not in PATH");
}

/// This program, for its children.
fs::path own_program() {
  std::error_code error;
  fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) refuse("cannot find this program in /proc: {}", error.message());
  return program;
}

}  // namespace

int run_study(Invocation& invocation) {
  StudyCommandLine asked;
  if (!asked.options.parse(invocation.arguments)) return 0;
  // The file gives options as --config does, which the command line takes precedence over.
  const bool goes_on = fs::is_directory(asked.config.file);
  StudyCommandLine declared;
  std::vector<std::string> arguments = invocation.arguments;
  arguments.push_back("--config=" + study_file(asked.config.file).string());
  if (!declared.options.parse(arguments)) return 0;
  StudyConfig& config = declared.config;
  const Wishes& wishes = declared.wishes;
  if (goes_on) {
    if (asked.options.given("output"))
      refuse("option --output: {} has a study already, which goes on there", config.file.string());
    config.output = config.file;
  }
  if (config.output.empty()) {
    refuse("option --output: missing; give DIR, the directory of the study");
  }
  if (wishes.ranks > 1 && !wishes.run) refuse("option --ranks: goes with --run only");
  if (wishes.ranks > 1) require_mpirun();
  if (const std::string evidence = evidence_of_other_ranks(); wishes.run && !evidence.empty()) {
    refuse(
        "option --run: the study starts its runs itself, but a launcher has started several ranks "
        "of it ({}); start it once, without a launcher, and give --ranks",
        evidence);
  }
  config.output = fs::absolute(config.output).lexically_normal();
  if (!config.output.has_filename()) config.output = config.output.parent_path();

  const StudyCommands commands{
      .declare = declare_command,
      .check = [&](const std::string& command, const std::vector<std::string>& arguments_of,
                   bool here) { check_command(command, arguments_of, here, invocation.world); }};
  const Study study(config, commands);
  const bool only_reads = wishes.table && goes_on && !wishes.run && !wishes.missing;
  Descriptor lock;  // runs of another process are no obstacle once they have ended
  if (wishes.run && fs::exists(study.directory() / "lock")) lock = lock_study(study.directory());
  if (!only_reads) {
    study.check(commands, wishes.run ? std::optional<int>(wishes.ranks) : std::nullopt);
  }
  if (wishes.dry_run) {
    std::cout << fmt::format("dry run: {} cells with {} pieces of work in {}\n",
                             study.cells().size(), study.works().size(),
                             study.directory().string());
    return 0;
  }
  if (!only_reads) study.write();
  if (wishes.missing) print_missing_works(study, std::cout);
  int code = 0;
  if (wishes.run) {
    if (!lock) lock = lock_study(study.directory());
    code = run_missing_works(study, wishes.ranks, own_program(), lock);
  }
  if (wishes.run || wishes.table) write_study_tables(study);
  if (!wishes.missing) {
    log::info("{} cells in {}{}", study.cells().size(), study.directory().string(),
              wishes.run || wishes.table ? "; table.md, table.csv, study.html" : "");
  }
  if (code == 1) {
    fail("{}: some cells have no result; table.md and table.csv say why",
         study.directory().string());
  }
  return code;
}

}  // namespace simclr
