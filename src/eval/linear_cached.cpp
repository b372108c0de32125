#include "simclr/eval/linear.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "lbfgs.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/core/check.hpp"
#include "simclr/nn/model.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kBlock = 2048;  // rows in device memory at a time

constexpr double kRelativeFloor = 1e-4;

/// Returns, for each channel, the sum of term(value, channel) over all ranks' rows, divided by
/// `count`.
template <class Term>
std::vector<double> channel_means(const LabeledFeatures& part, double count, Communicator& world,
                                  Term term) {
  const auto channels = static_cast<std::size_t>(part.channels);
  std::vector<double> sums(channels);
  for (std::size_t i = 0; i < part.values.size(); i += channels) {
    for (std::size_t c = 0; c < channels; ++c) sums[c] += term(part.values[i + c], c);
  }
  world.all_reduce(buffer_span(std::span(sums)), Reduction::sum);
  for (double& sum : sums) sum /= count;
  return sums;
}

/// Mean and standard deviation of each channel of a feature matrix spread over the ranks.
struct ChannelScale {
  std::vector<double> mean, deviation;
};

/// Computes them in two passes, accumulated in f64. Collective. A channel whose deviation is below
/// 1e-4 of the root mean square deviation of all gets that bound as its deviation: dividing by its
/// own would amplify rounding noise to the size of the other channels.
ChannelScale channel_scale(const LabeledFeatures& part, Communicator& world) {
  const auto count = static_cast<double>(sum_over_ranks(world, part.rows()));
  ChannelScale scale;
  scale.mean = channel_means(part, count, world, [](double x, std::size_t) { return x; });
  const auto variance = channel_means(part, count, world, [&](double x, std::size_t c) {
    return (x - scale.mean[c]) * (x - scale.mean[c]);
  });
  double mean_variance = 0;
  for (const double v : variance) mean_variance += v / static_cast<double>(variance.size());
  // If all features are equal, every channel becomes zero, whatever the divisor.
  const double floor = mean_variance > 0 ? kRelativeFloor * std::sqrt(mean_variance) : 1;
  for (const double v : variance) scale.deviation.push_back(std::max(std::sqrt(v), floor));
  return scale;
}

/// Replaces each value h by (h - mean) / deviation.
void standardize(LabeledFeatures& part, const ChannelScale& scale) {
  const auto channels = static_cast<std::size_t>(part.channels);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < part.rows(); ++i) {
    float* row = part.values.data() + static_cast<std::size_t>(i) * channels;
    for (std::size_t c = 0; c < channels; ++c) {
      row[c] = static_cast<float>((row[c] - scale.mean[c]) / scale.deviation[c]);
    }
  }
}

/// Evaluates the classifier on this rank's rows, one block at a time, with parameters given by the
/// caller.
class BlockClassifier {
 public:
  BlockClassifier(std::int64_t rows, std::int64_t channels, std::int64_t classes, Backend& backend)
      : rows_(rows),
        executor_(make_executor(record_linear_classifier(rows, channels, classes), backend)),
        values_(static_cast<std::size_t>(rows * channels)),
        labels_(static_cast<std::size_t>(rows)) {}

  [[nodiscard]] const Program& program() const { return executor_.program(); }

  void set_parameters(std::span<const double> parameters) {
    executor_.set_flat(Storage::parameters,
                       std::vector<float>(parameters.begin(), parameters.end()));
  }

  /// Returns the loss summed over `part`, and adds its gradient to `gradient`.
  double add_up(const LabeledFeatures& part, std::span<double> gradient) {
    double loss = 0;
    for (std::int64_t first = 0; first < part.rows(); first += rows_) {
      upload(part, first);
      executor_.run_forward();
      std::array<double, 4> block{};
      executor_.download(program().at("sums"), buffer_span(std::span<double>(block)));
      loss += block[0];
      executor_.run_backward();
      const auto block_gradient = executor_.flat(Storage::gradients);
      for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] += block_gradient[i];
    }
    return loss;
  }

  /// Classifies the rows of `part`.
  Predictions predict(const LabeledFeatures& part, Predictions::Keep keep) {
    const TensorId logits = program().at("logits");
    Predictions predictions(program().info(logits).shape[1], keep);
    for (std::int64_t first = 0; first < part.rows(); first += rows_) {
      upload(part, first);
      executor_.run_forward();
      const auto count = static_cast<std::size_t>(std::min(rows_, part.rows() - first));
      const std::vector<float> scores = executor_.values(logits);
      predictions.append(
          std::span(part.labels).subspan(static_cast<std::size_t>(first), count),
          std::span(scores).first(count * static_cast<std::size_t>(predictions.classes())));
    }
    return predictions;
  }

 private:
  static Executor make_executor(Program program, Backend& backend) {
    const ExecutorOptions options{.keep = {program.at("logits")}};
    return {std::move(program), backend, {}, options};
  }

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
Function logistic_objective(BlockClassifier& classifier, const LabeledFeatures& train, double l2,
                            Communicator& world) {
  return [&classifier, &train, &world, l2,
          samples = static_cast<double>(sum_over_ranks(world, train.rows())),
          is_weight = weight_mask(classifier.program())](std::span<const double> point,
                                                         std::span<double> gradient) {
    classifier.set_parameters(point);
    // One reduction for both: the gradient, then the loss.
    std::vector<double> summed(point.size() + 1);
    summed.back() = classifier.add_up(train, std::span(summed).first(point.size()));
    world.all_reduce(buffer_span(std::span(summed)), Reduction::sum);
    double penalty = 0;
    for (std::size_t i = 0; i < point.size(); ++i) {
      const double weight = is_weight[i] ? point[i] : 0;
      gradient[i] = summed[i] / samples + l2 * weight;
      penalty += weight * weight;
    }
    return summed.back() / samples + l2 / 2 * penalty;
  };
}

}  // namespace

double cached_classifier_bytes(std::int64_t rows, std::int64_t channels, std::int64_t classes) {
  // f32: parameters, their gradient and a copy of each. f64: three points, three gradients, the sum
  // over ranks, the direction, and two vectors for each pair of the history.
  const double per_parameter =
      4 * sizeof(float) + static_cast<double>(8 + 2 * LbfgsConfig().history) * sizeof(double);
  const double logits = 3 * sizeof(float);  // with their gradient and a copy
  return static_cast<double>(classes) * (static_cast<double>(channels + 1) * per_parameter +
                                         static_cast<double>(std::min(rows, kBlock)) * logits);
}

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
  const auto size = static_cast<std::size_t>(classifier.program().parameter_elements);
  const LbfgsResult fit = minimize_lbfgs(
      logistic_objective(classifier, train, config.l2 / classes, world), std::vector<double>(size),
      {.max_iterations = config.max_iterations, .gradient_tolerance = config.tolerance / classes});
  classifier.set_parameters(fit.point);
  return {classifier.predict(test, config.keep), fit.objective, fit.gradient_maximum,
          fit.iterations, fit.converged};
}

}  // namespace simclr
