#pragma once
// A task: what a run trains and which metrics it reports. The trainer, the training loop,
// metrics.jsonl, the progress line, the divergence watch and the report get every loss and metric
// from it.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "simclr/data/loader.hpp"
#include "simclr/nn/model.hpp"
#include "simclr/tensor/span.hpp"

namespace simclr {

/// A number that every step yields: an element of the task's results, divided by a constant.
struct Metric {
  std::string name;   ///< its column in metrics.jsonl, such as "contrastive_top1"
  std::string title;  ///< heading of its chart in the report
  std::string brief;  ///< its name in the progress line; empty: not shown there
  std::string unit;   ///< such as "nats"; "%": logged as a fraction, shown times 100
  int result = 0;     ///< its element of the task's results
  double divisor = 1;
  /// The element that it is divided by instead of by `divisor`: how much the step has counted.
  /// Where that is 0, the step has no such number (NaN), and its row has no such column.
  std::optional<int> count{};
};

/// The loss before anything is learned and the least possible loss.
struct LossLevels {
  double guessing = 0;        ///< the loss of a model that knows nothing
  double lowest = 0;          ///< the lower bound of the loss, or what counts as perfect
  std::string guessing_text;  ///< formula of `guessing`, such as "ln(2N - 1)"
};

/// A value of a metric that shows that the model gives every sample the same output.
struct Collapse {
  std::size_t metric = 0;  ///< its index
  double at_most = 0;
  std::string warning;  ///< logged once, at the first step with such a value
};

struct Objective {
  std::vector<Metric> metrics;  ///< the first is the loss that is minimized
  /// Unset if the loss of guessing is unknown; then divergence is not detected.
  std::optional<LossLevels> levels;
  std::optional<Collapse> collapse{};
  /// Columns that only TrainingConfig::measure() fills, in rows of their own; no results of a step.
  std::vector<Metric> measured{};
};

/// An input tensor of the program and where a batch holds its values.
struct Input {
  std::string tensor;
  ConstBufferSpan (*values)(const ViewBatch& batch);
};
Input views_input();   ///< "views" of the batch's views
Input labels_input();  ///< "labels" of the batch's labels

struct Task {
  /// One training step of one rank. Its named tensors: every input's; "control" f32 (4); "sums" f64
  /// (any number), summed over all ranks; "verdict" of finish_training().
  Program program;
  Objective objective;
  std::vector<Input> inputs;  ///< one for each tensor in Storage::input
  /// The named f64 tensors that hold the results of a step, the same on all ranks. Their elements,
  /// one tensor after the other, are what the metrics are made of.
  std::vector<std::string> results{"sums"};
  OptimizerSpec optimizer;
  /// Learning rate with which the second optimizer of "control" begins: a cosine takes it to 0 over
  /// the whole schedule. Unset: there is none.
  std::optional<double> probe_rate{};
  int ranks_per_bn_group = 1;
  std::string advice;  ///< what to try if the loss or a gradient is not finite
};

/// How a Trainer trains a task.
struct TrainerOptions {
  Schedule schedule;
  std::uint64_t seed = 1;  ///< of the initial parameters
  /// Parts of the model whose values will be loaded: they begin as zeros.
  std::vector<Part> loaded{};
  int threads = 1;            ///< that make the initial parameters
  bool loss_scaling = false;  ///< for half precision: scales the loss so that gradients fit
};

/// The columns of metrics.jsonl and the loss levels of pretraining with a contrastive loss on
/// global batches of N images with embeddings of D dimensions, normalized or not: loss, contrastive
/// top-1 and entropy, means over 2N views; the standard deviation of z/|z|; of semi-hard losses the
/// share of views with a semi-hard negative. Takes the results "sums" and "z_std".
Objective contrastive_objective(const ContrastiveLoss& loss, bool normalize,
                                std::int64_t batch_size, std::int64_t dimensions);
/// Those of cross-entropy on K classes: loss, top-1 and top-5, means over N images.
Objective cross_entropy_objective(std::int64_t batch_size, std::int64_t classes);
/// The same of distillation at a temperature: the loss, the images on which student and teacher
/// have the same best class, and the accuracy of those that have labels.
Objective distillation_objective(std::int64_t batch_size, std::int64_t classes, double temperature,
                                 double label_weight);
/// Adds the columns of a probe: mean loss and accuracy of the labeled views. Takes the result
/// "probe_sums", which stands behind `elements` elements of others.
void add_probe(Objective& objective, int elements);

}  // namespace simclr
