#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "evaluation.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/core/log.hpp"
#include "simclr/eval/linear.hpp"

namespace simclr {
namespace {

using Json = nlohmann::ordered_json;

enum class Protocol : std::uint8_t { cached, augmented };

struct LinearOptions {
  Protocol protocol = Protocol::cached;
  LinearCachedConfig cached;
  // For the augmented protocol; if unset, the paper's values for this kind of encoder.
  std::optional<std::int64_t> epochs, batch_size;
  double learning_rate = 0.1;
  std::uint64_t seed = 1;
};

void declare(Options& options, LinearOptions& linear) {
  options.group("protocol")
      .choice<Protocol>(
          "protocol", linear.protocol,
          {{"cached", Protocol::cached}, {"augmented", Protocol::augmented}},
          "how the linear classifier is trained. cached: logistic regression on the features of "
          "the images as they are; augmented: SGD on features of randomly cropped and flipped "
          "images, as in the paper");
  options.group("cached")
      .add("l2", linear.cached.l2,
           "penalty: l2/(2K) |W|^2 for K classes, on features of mean 0 and deviation 1")
      .range(at_least(0))
      .add("max-iterations", linear.cached.max_iterations, "most iterations of L-BFGS")
      .range(at_least(1))
      .add("tolerance", linear.cached.tolerance,
           "the fit ends when no component of the gradient, times K, is larger than this")
      .range(above(0));
  options.group("augmented")
      .add("epochs", linear.epochs,
           "passes over the training data; unset: 90, or 100 with the CIFAR stem")
      .range(at_least(1))
      .add("batch-size", linear.batch_size,
           "images of a step, summed over all ranks; unset: 4096, or 512 with the CIFAR stem")
      .range(at_least(1))
      .add("learning-rate", linear.learning_rate,
           "learning rate at a batch size of 256; multiplied by the batch size / 256")
      .range(above(0))
      .add("seed", linear.seed, "seed of the order of samples, of crops and flips");
}

/// Refuses options of the other protocol, which would be ignored.
void refuse_options_of_other_protocol(const Options& options, Protocol protocol) {
  const bool cached = protocol == Protocol::cached;
  const auto refuse_given = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (options.given(name)) {
        refuse("option --{}: goes with --protocol {} only", name, cached ? "augmented" : "cached");
      }
    }
  };
  if (cached) refuse_given({"epochs", "batch-size", "learning-rate", "seed"});
  if (!cached) refuse_given({"l2", "max-iterations", "tolerance", "layer"});
}

PreparedEvaluation prepare_cached(EvaluationJob& job, LinearCachedConfig linear,
                                  std::unique_ptr<EvaluationResult> result) {
  linear.classes = job.classes();
  linear.keep = result->kept_predictions();
  const std::int64_t ranks = job.world().size();
  const std::int64_t rows = (std::max(job.train_samples(), job.test_samples()) + ranks - 1) / ranks;
  job.require_classifier_fits(cached_classifier_bytes(rows, job.feature_channels(), linear.classes),
                              linear.keep);
  const auto work = [&job, linear, &to = *result] {
    const auto fit = linear_cached(job.train_features(), job.test_features(), linear, job.backend(),
                                   job.world());
    if (!fit.converged && job.world().rank() == 0) {
      log::warning("the fit stopped after {} iterations with a gradient of {:.1e}, above {:.1e}",
                   fit.iterations, fit.gradient_maximum,
                   linear.tolerance / static_cast<double>(linear.classes));
    }
    const Json details{{"train_loss", fit.train_loss},
                       {"iterations", fit.iterations},
                       {"gradient_maximum", fit.gradient_maximum},
                       {"converged", fit.converged}};
    to.report(fit.test, json_text(details));
  };
  return {std::move(result), work};
}

PreparedEvaluation prepare_augmented(EvaluationJob& job, const LinearOptions& linear,
                                     std::unique_ptr<EvaluationResult> result) {
  const bool small_images = job.encoder().model().encoder.stem == Stem::cifar;
  const LinearAugmentedConfig augmented{
      .classes = job.classes(),
      .batch_size = linear.batch_size.value_or(small_images ? 512 : 4096),
      .epochs = linear.epochs.value_or(small_images ? 100 : 90),
      .learning_rate = linear.learning_rate,
      .seed = linear.seed,
      .activations = job.activations(),
      .threads = job.threads(),
      .keep = result->kept_predictions()};
  validate(augmented, job.train_samples(), job.world().size());
  const std::int64_t local_batch = augmented.batch_size / job.world().size();
  job.require_classifier_fits(
      augmented_classifier_bytes(local_batch, job.feature_channels(), augmented.classes),
      augmented.keep);
  const auto work = [&job, augmented, local_batch, &to = *result] {
    const auto train = job.open_train(local_batch);
    const auto test = job.open_test(local_batch);
    const auto trained =
        linear_augmented(job.encoder(), *train, *test, augmented, job.backend(), job.world());
    const Json details{{"train_loss", trained.train_loss},
                       {"steps", trained.steps},
                       {"epochs", augmented.epochs},
                       {"batch_size", augmented.batch_size},
                       {"encoder_hash_before", trained.encoder_hash_before},
                       {"encoder_hash_after", trained.encoder_hash_after}};
    to.report(trained.test, json_text(details));
  };
  return {std::move(result), work};
}

class LinearEvaluation final : public Evaluation {
 public:
  void declare(Options& options) override { simclr::declare(options, linear_); }

  void validate(const Options& options) override {
    refuse_options_of_other_protocol(options, linear_.protocol);
  }

  void check_samples(std::int64_t samples) override {
    // The default batch size depends on the checkpoint.
    if (linear_.batch_size) simclr::validate({.batch_size = *linear_.batch_size}, samples, 1);
  }

  PreparedEvaluation prepare(EvaluationJob& job, const EvaluationConfig& config,
                             const Options& options) override {
    const bool cached = linear_.protocol == Protocol::cached;
    auto result = std::make_unique<EvaluationResult>(
        job, config, cached ? "linear-cached" : "linear-augmented", options);
    return cached ? prepare_cached(job, linear_.cached, std::move(result))
                  : prepare_augmented(job, linear_, std::move(result));
  }

 private:
  LinearOptions linear_;
};

}  // namespace

std::unique_ptr<Evaluation> make_linear_evaluation() {
  return std::make_unique<LinearEvaluation>();
}

}  // namespace simclr
