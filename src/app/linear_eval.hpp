#pragma once
// The options and protocols of linear-eval.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "evaluation.hpp"
#include "simclr/eval/linear.hpp"

namespace simclr {

enum class Protocol : std::uint8_t { cached, augmented, transfer };

struct LinearOptions {
  Protocol protocol = Protocol::cached;
  LinearCachedConfig cached;
  // For the augmented protocol; if unset, the paper's values for this kind of encoder.
  std::optional<std::int64_t> epochs, batch_size;
  double learning_rate = 0.1;
  std::uint64_t seed = 1;
  // For the transfer protocol.
  std::string l2_grid = "1e-6:1e5:45";
  std::string validation = "0.2";
  TransferMetric metric = TransferMetric::top1;
  // For few labels.
  std::vector<std::int64_t> labels_per_class;
  std::optional<double> label_fraction;
  std::uint64_t label_seed = 1;
  std::int64_t draws = 1;

  bool predictions = false;  ///< --predictions is given

  [[nodiscard]] bool few_labels() const { return label_fraction || !labels_per_class.empty(); }
};

/// The fraction that --validation gives; empty if it names a directory.
std::optional<double> validation_fraction(const std::string& validation);

void declare_transfer(Options& options, LinearOptions& linear);
TransferData transfer_data(const LinearOptions& linear);
/// Refuses options that do not go with the training samples; see DataCheck.
void check_transfer(const LinearOptions& linear, std::int64_t samples,
                    const std::vector<std::int64_t>& labels);
PreparedEvaluation prepare_transfer(EvaluationJob& job, const LinearOptions& linear,
                                    std::unique_ptr<EvaluationResult> result);

}  // namespace simclr
