#include "evaluation.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/report/report.hpp"

namespace simclr {
namespace {

struct EvaluationCommand {
  std::string_view name;  ///< also of its section in a configuration file
  std::string_view summary;
  std::unique_ptr<Evaluation> (*make)() = nullptr;
};
constexpr std::array kEvaluations{
    EvaluationCommand{"knn", "nearest-neighbor accuracy of a checkpoint's features",
                      make_knn_evaluation},
    EvaluationCommand{"linear-eval", "accuracy of a linear classifier on a checkpoint's features",
                      make_linear_evaluation},
};

std::vector<std::string> evaluation_names() {
  std::vector<std::string> names;
  names.reserve(kEvaluations.size());
  for (const EvaluationCommand& command : kEvaluations) names.emplace_back(command.name);
  return names;
}

/// An evaluation with its options.
struct Declared {
  explicit Declared(std::string_view name)
      : command(*std::ranges::find(kEvaluations, name, &EvaluationCommand::name)),
        evaluation(command.make()),
        options(std::string(name), std::string(command.summary), {std::string(name)}) {
    evaluation->declare(options);
    declare_evaluation_options(options, config);
    options.example(
        fmt::format("simclr {} --checkpoint runs/r50 --train-data shards/train \\\n"
                    "      --test-data shards/test",
                    name));
  }

  const EvaluationCommand& command;
  EvaluationConfig config;
  std::unique_ptr<Evaluation> evaluation;
  Options options;
};

using Evaluations = std::vector<std::unique_ptr<Declared>>;

/// Refuses a file that is to hold two results.
void require_own_files(const std::vector<PreparedEvaluation>& prepared) {
  std::set<std::filesystem::path> files;
  for (const PreparedEvaluation& one : prepared) {
    for (const Output& output : one.result->outputs()) {
      const auto place = std::filesystem::weakly_canonical(std::filesystem::absolute(output.file));
      if (files.insert(place).second) continue;
      refuse("option --{}: {} is to hold two results; name another file", output.option,
             output.file.string());
    }
  }
}

/// Makes the evaluations, whose options have been read. `shared` has the options of all of them.
void evaluate(Evaluations& evaluations, const EvaluationConfig& shared, const std::string& names,
              Communicator& world) {
  for (const auto& one : evaluations) one->evaluation->validate(one->options);
  TransferData transfer{.multi_label = true, .validation = {}};
  for (const auto& one : evaluations) {
    const TransferData data = one->evaluation->transfer_data();
    transfer.multi_label = transfer.multi_label && data.multi_label;
    if (!data.validation.empty()) transfer.validation = data.validation;
  }
  const auto check = [&](std::int64_t samples, const std::vector<std::int64_t>& labels) {
    for (const auto& one : evaluations) {
      one->evaluation->check_data(samples, labels);
      require_likely_writable_results(one->config);
    }
  };
  if (finish_dry_run_elsewhere(shared, names, world, check, transfer)) return;
  EvaluationJob job(shared, world, transfer);
  std::vector<PreparedEvaluation> prepared;
  for (const auto& one : evaluations) {
    prepared.push_back(one->evaluation->prepare(job, one->config, one->options));
  }
  on_root(world, [&] { require_own_files(prepared); });
  bool only_checked = false;
  for (const PreparedEvaluation& one : prepared) only_checked = one.result->finish_checks();
  if (only_checked) return;
  for (std::size_t i = 0; i < prepared.size(); ++i) {
    job.keep_features(i + 1 < prepared.size());
    prepared[i].work();
    if (world.rank() == 0 && !evaluations[i]->config.output) {
      refresh_report_of_checkpoint(job.encoder().file());
    }
  }
}

/// Refuses an option of all evaluations that the section of one of them sets to another value.
void require_shared_values(const Options& shared, const Declared& one) {
  const auto values = one.options.values();
  for (const auto& [name, value] : shared.values()) {
    const auto found = std::ranges::find(values, name, &NamedValues::value_type::first);
    if (found == values.end() || found->second == value) continue;
    refuse(
        "option --{}: section [{}] sets '{}', and evaluate has one value for all protocols, '{}'; "
        "give it in section [evaluate] or as an argument",
        name, one.command.name, found->second, value);
  }
}

}  // namespace

DeclaredCommand declare_evaluation(std::string_view name) {
  const auto declared = std::make_shared<Declared>(name);
  return {.target = declared, .options = {declared, &declared->options}};
}

int run_evaluation(std::string_view name, Invocation& invocation) {
  Evaluations evaluations;
  evaluations.push_back(std::make_unique<Declared>(name));
  if (!invocation.parse(evaluations.front()->options)) return 0;
  evaluate(evaluations, evaluations.front()->config, std::string(name), invocation.world);
  return 0;
}

int run_evaluate(Invocation& invocation) {
  EvaluationConfig config;
  std::vector<std::string> names = evaluation_names();
  Options options("evaluate", "several evaluations of a checkpoint on features computed once",
                  {"evaluate"});
  options.group("protocols")
      .add("protocols", names,
           "evaluations to make, in this order; each reads its own options in its section of the "
           "configuration file, such as [knn], and writes the result of its command")
      .known(evaluation_names())
      .rule(fmt::format("one or more of {}, each once", fmt::join(evaluation_names(), ",")),
            [](const std::string& text) {
              std::vector<std::string> list;
              if (!read_value(text, list, any_number())) return false;
              return !list.empty() && std::set(list.begin(), list.end()).size() == list.size();
            });
  declare_shared_options(options, config);
  options.example("simclr evaluate --checkpoint runs/r50 --protocols knn,linear-eval");
  if (!invocation.parse(options)) return 0;
  Evaluations evaluations;
  for (const std::string& name : names) {
    evaluations.push_back(std::make_unique<Declared>(name));
    Declared& one = *evaluations.back();
    if (!parse_on_all_ranks(one.options, options.given_arguments({"protocols"}),
                            invocation.world)) {
      return 0;
    }
    require_shared_values(options, one);
  }
  evaluate(evaluations, config, fmt::format("{}", fmt::join(names, ", ")), invocation.world);
  return 0;
}

int run_knn(Invocation& invocation) { return run_evaluation("knn", invocation); }
int run_linear_eval(Invocation& invocation) { return run_evaluation("linear-eval", invocation); }

}  // namespace simclr
