#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/core/log.hpp"
#include "simclr/eval/evaluation_job.hpp"
#include "simclr/eval/linear.hpp"
#include "simclr/report/report.hpp"

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
  if (!cached) refuse_given({"l2", "max-iterations", "tolerance"});
}

void run_cached(const EvaluationConfig& config, LinearCachedConfig linear, const Options& options,
                Communicator& world) {
  EvaluationJob job(config, "linear-cached", options, world);
  linear.classes = job.classes();
  linear.keep = job.kept_predictions();
  const std::int64_t ranks = world.size();
  const std::int64_t rows = (std::max(job.train_samples(), job.test_samples()) + ranks - 1) / ranks;
  job.require_classifier_fits(cached_classifier_bytes(
      rows, job.encoder().model().encoder.feature_channels(), linear.classes));
  if (job.finish_checks()) return;
  LabeledFeatures train = job.train_features();
  LabeledFeatures test = job.test_features();
  const auto result =
      linear_cached(std::move(train), std::move(test), linear, job.backend(), world);
  if (!result.converged && world.rank() == 0) {
    log::warning("the fit stopped after {} iterations with a gradient of {:.1e}, above {:.1e}",
                 result.iterations, result.gradient_maximum,
                 linear.tolerance / static_cast<double>(linear.classes));
  }
  const Json details{{"train_loss", result.train_loss},
                     {"iterations", result.iterations},
                     {"gradient_maximum", result.gradient_maximum},
                     {"converged", result.converged}};
  job.report(result.test, json_text(details));
  if (world.rank() == 0 && !config.output) refresh_report_of_checkpoint(job.encoder().file());
}

void run_augmented(const EvaluationConfig& config, const LinearOptions& linear,
                   const Options& options, Communicator& world) {
  EvaluationJob job(config, "linear-augmented", options, world);
  const bool small_images = job.encoder().model().encoder.stem == Stem::cifar;
  const LinearAugmentedConfig augmented{
      .classes = job.classes(),
      .batch_size = linear.batch_size.value_or(small_images ? 512 : 4096),
      .epochs = linear.epochs.value_or(small_images ? 100 : 90),
      .learning_rate = linear.learning_rate,
      .seed = linear.seed,
      .activations = job.activations(),
      .threads = job.threads(),
      .keep = job.kept_predictions()};
  validate(augmented, job.train_samples(), world.size());
  const std::int64_t local_batch = augmented.batch_size / world.size();
  job.require_classifier_fits(augmented_classifier_bytes(
      local_batch, job.encoder().model().encoder.feature_channels(), augmented.classes));
  if (job.finish_checks()) return;
  const auto train = job.open_train(local_batch);
  const auto test = job.open_test(local_batch);
  const auto result =
      linear_augmented(job.encoder(), *train, *test, augmented, job.backend(), world);
  const Json details{{"train_loss", result.train_loss},
                     {"steps", result.steps},
                     {"epochs", augmented.epochs},
                     {"batch_size", augmented.batch_size},
                     {"encoder_hash_before", result.encoder_hash_before},
                     {"encoder_hash_after", result.encoder_hash_after}};
  job.report(result.test, json_text(details));
  if (world.rank() == 0 && !config.output) refresh_report_of_checkpoint(job.encoder().file());
}

}  // namespace

int run_linear_eval(Invocation& invocation) {
  EvaluationConfig config;
  LinearOptions linear;
  Options options("linear-eval", "accuracy of a linear classifier on a checkpoint's features",
                  {"linear-eval"});
  declare(options, linear);
  declare_evaluation_options(options, config);
  options.example(
      "simclr linear-eval --checkpoint runs/r50 --train-data shards/train \\\n"
      "      --test-data shards/test");
  if (!invocation.parse(options)) return 0;
  refuse_options_of_other_protocol(options, linear.protocol);
  // The default batch size depends on the checkpoint.
  const auto check = [&linear](std::int64_t samples) {
    if (linear.batch_size) validate({.batch_size = *linear.batch_size}, samples, 1);
  };
  if (finish_dry_run_elsewhere(config, "linear-eval", invocation.world, check)) return 0;
  if (linear.protocol == Protocol::cached) {
    run_cached(config, linear.cached, options, invocation.world);
  } else {
    run_augmented(config, linear, options, invocation.world);
  }
  return 0;
}

}  // namespace simclr
