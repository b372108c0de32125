#include "simclr/eval/linear_cached.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "lbfgs.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/core/check.hpp"
#include "simclr/nn/model.hpp"
#include "standardize.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kBlock = 2048;  // rows in device memory at a time

/// Evaluates the classifier on this rank's rows, one block at a time, with parameters given by the
/// caller.
class BlockClassifier {
 public:
  BlockClassifier(std::int64_t rows, std::int64_t channels, std::int64_t classes, Backend& backend)
      : rows_(rows),
        executor_(record_linear_classifier(rows, channels, classes), backend, {}),
        values_(static_cast<std::size_t>(rows * channels)),
        labels_(static_cast<std::size_t>(rows)) {}

  [[nodiscard]] const Program& program() const { return executor_.program(); }

  void set_parameters(std::span<const double> parameters) {
    executor_.set_flat(Storage::parameters,
                       std::vector<float>(parameters.begin(), parameters.end()));
  }

  /// Sums (loss, top-1, top-5, samples) over `part`, and the gradient unless `gradient` is empty.
  std::array<double, 4> add_up(const LabeledFeatures& part, std::span<double> gradient) {
    std::array<double, 4> sums{};
    for (std::int64_t first = 0; first < part.rows(); first += rows_) {
      upload(part, first);
      executor_.run_forward();
      std::array<double, 4> block{};
      executor_.download(program().at("sums"), buffer_span(std::span<double>(block)));
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += block[i];
      if (gradient.empty()) continue;
      executor_.run_backward();
      const auto block_gradient = executor_.flat(Storage::gradients);
      for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] += block_gradient[i];
    }
    return sums;
  }

 private:
  void upload(const LabeledFeatures& part, std::int64_t first) {
    const std::int64_t count = std::min(rows_, part.rows() - first);
    const auto values = std::span(part.values)
                            .subspan(static_cast<std::size_t>(first * part.channels),
                                     static_cast<std::size_t>(count * part.channels));
    const auto labels =
        std::span(part.labels)
            .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    std::fill(std::copy(values.begin(), values.end(), values_.begin()), values_.end(), 0.0F);
    std::fill(std::copy(labels.begin(), labels.end(), labels_.begin()), labels_.end(),
              kPaddingLabel);
    executor_.upload(program().at("h"), const_buffer_span(std::span<const float>(values_)));
    executor_.upload(program().at("labels"),
                     const_buffer_span(std::span<const std::int32_t>(labels_)));
  }

  std::int64_t rows_;
  Executor executor_;
  std::vector<float> values_;
  std::vector<std::int32_t> labels_;
};

/// Marks the elements of the flat parameter vector that are weights: only these are penalized.
std::vector<bool> weight_mask(const Program& program) {
  std::vector<bool> mask(static_cast<std::size_t>(program.parameter_elements), false);
  for (const Parameter& parameter : program.parameters) {
    const TensorInfo& info = program.info(parameter.value);
    const auto begin = mask.begin() + info.offset;
    if (parameter.regularized) std::fill(begin, begin + info.shape.elements(), true);
  }
  return mask;
}

/// Computes the regularized loss and its gradient over all ranks' training rows.
class LogisticObjective {
 public:
  LogisticObjective(BlockClassifier& classifier, const LabeledFeatures& train, double l2,
                    Communicator& world)
      : classifier_(&classifier),
        train_(&train),
        l2_(l2),
        world_(&world),
        samples_(static_cast<double>(sum_over_ranks(world, train.rows()))),
        is_weight_(weight_mask(classifier.program())),
        summed_(is_weight_.size() + 1) {}

  double operator()(std::span<const double> point, std::span<double> gradient) {
    std::fill(summed_.begin(), summed_.end(), 0.0);
    classifier_->set_parameters(point);
    // One reduction for both: the gradient, then the loss.
    const auto local_gradient = std::span(summed_).first(point.size());
    summed_.back() = classifier_->add_up(*train_, local_gradient)[0];
    world_->all_reduce(buffer_span(std::span(summed_)), Reduction::sum);
    double penalty = 0;
    for (std::size_t i = 0; i < point.size(); ++i) {
      const double weight = is_weight_[i] ? point[i] : 0;
      gradient[i] = summed_[i] / samples_ + l2_ * weight;
      penalty += weight * weight;
    }
    return summed_.back() / samples_ + l2_ / 2 * penalty;
  }

 private:
  BlockClassifier* classifier_;
  const LabeledFeatures* train_;
  double l2_;
  Communicator* world_;
  double samples_;
  std::vector<bool> is_weight_;
  std::vector<double> summed_;
};

Accuracy measure(BlockClassifier& classifier, const LabeledFeatures& test, Communicator& world) {
  auto sums = classifier.add_up(test, {});
  world.all_reduce(buffer_span(std::span<double>(sums)), Reduction::sum);
  return {sums[1] / sums[3], sums[2] / sums[3], static_cast<std::int64_t>(sums[3])};
}

}  // namespace

LinearCachedResult linear_cached(LabeledFeatures train, LabeledFeatures test,
                                 const LinearCachedConfig& config, Backend& backend,
                                 Communicator& world) {
  const ChannelScale scale = channel_scale(train, world);
  standardize(train, scale);
  standardize(test, scale);

  const std::int64_t rows =
      std::clamp(std::max(train.rows(), test.rows()), std::int64_t{1}, kBlock);
  BlockClassifier classifier(rows, train.channels, config.classes, backend);
  const auto classes = static_cast<double>(config.classes);
  LogisticObjective objective(classifier, train, config.l2 / classes, world);
  const auto size = static_cast<std::size_t>(classifier.program().parameter_elements);
  const LbfgsResult fit = minimize_lbfgs(
      std::ref(objective), std::vector<double>(size),
      {.max_iterations = config.max_iterations, .gradient_tolerance = config.tolerance / classes});
  classifier.set_parameters(fit.point);
  return {measure(classifier, test, world), fit.objective, fit.gradient_maximum, fit.iterations,
          fit.converged};
}

}  // namespace simclr
