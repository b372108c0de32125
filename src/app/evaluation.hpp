#pragma once
// Evaluations of a checkpoint. Each is a command of its own and a protocol of `simclr evaluate`,
// with a line in evaluation.cpp.

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "command.hpp"
#include "simclr/eval/evaluation_job.hpp"
#include "simclr/study/study.hpp"

namespace simclr {

/// An evaluation that has passed all checks but the last, EvaluationResult::finish_checks().
struct PreparedEvaluation {
  std::unique_ptr<EvaluationResult> result;
  std::function<void()> work;  ///< ends by reporting the result
};

class Evaluation {
 public:
  Evaluation() = default;
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;
  virtual ~Evaluation() = default;

  /// Declares its own options, in addition to those of all evaluations.
  virtual void declare(Options& options) = 0;
  /// Sees which options are given; refuses those that contradict each other.
  virtual void validate(const Options& options) = 0;
  /// What it does with data that others do not; after validate().
  [[nodiscard]] virtual TransferData transfer_data() const { return {}; }
  /// Refuses options that do not go with the training samples; see DataCheck.
  virtual void check_data(std::int64_t samples, const std::vector<std::int64_t>& labels) = 0;
  /// Makes the checks that need checkpoint and data. `config` names the files of the result. All
  /// arguments must live until the work is done. Collective.
  virtual PreparedEvaluation prepare(EvaluationJob& job, const EvaluationConfig& config,
                                     const Options& options) = 0;
};

/// The options of the evaluation of this name, as its command declares them.
DeclaredCommand declare_evaluation(std::string_view name);
/// The options of `quality`.
DeclaredCommand declare_quality();

/// Runs the evaluation of this name as a command.
int run_evaluation(std::string_view name, Invocation& invocation);

// Each is defined in its own cmd_*.cpp.
std::unique_ptr<Evaluation> make_knn_evaluation();
std::unique_ptr<Evaluation> make_linear_evaluation();

}  // namespace simclr
