#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "linear_eval.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/core/log.hpp"
#include "simclr/data/label_selection.hpp"
#include "simclr/eval/linear.hpp"

namespace simclr {
namespace {

using Json = nlohmann::ordered_json;

void declare(Options& options, LinearOptions& linear) {
  options.group("protocol")
      .choice<Protocol>(
          "protocol", linear.protocol,
          {{"cached", Protocol::cached},
           {"augmented", Protocol::augmented},
           {"transfer", Protocol::transfer}},
          "how the linear classifier is trained. cached: logistic regression on the features of "
          "the images as they are; augmented: SGD on features of randomly cropped and flipped "
          "images, as in the paper; transfer: logistic regression on features that are not scaled, "
          "with "
          "the penalty chosen on validation data, as in the paper's transfer to other data sets");
  options.group("cached")
      .add("l2", linear.cached.l2,
           "penalty: l2/(2K) |W|^2 for K classes, on features of mean 0 and deviation 1")
      .range(at_least(0))
      .add("max-iterations", linear.cached.max_iterations,
           "most iterations of L-BFGS; with --protocol transfer, of each fit")
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
  declare_transfer(options, linear);
  options.group("few labels")
      .add("labels-per-class", linear.labels_per_class,
           "with --protocol cached: learn from this many samples of each class, drawn at random; "
           "of a list of numbers, from each in turn")
      .range(at_least(1))
      .add("label-fraction", linear.label_fraction,
           "with --protocol cached: learn from this part of the labeled samples, drawn with "
           "equally many of each class")
      .range(above(0).at_most(1))
      .add("draws", linear.draws,
           "number of draws, of which the mean and deviation are reported; their seeds are "
           "--label-seed and the numbers after it")
      .range(at_least(1).at_most(1000))
      .add("label-seed", linear.label_seed,
           "seed of the draw of samples to learn from, or of those held out for validation; with "
           "one seed, fewer samples to learn from are a part of more");
}

/// Refuses options of other protocols, which would be ignored, and contradictions.
void refuse_contradictions(const Options& options, const LinearOptions& linear) {
  const auto goes_with = [&](std::initializer_list<const char*> names, const char* what,
                             bool does) {
    for (const char* name : names) {
      if (!does && options.given(name)) refuse("option --{}: goes with {} only", name, what);
    }
  };
  const bool cached = linear.protocol == Protocol::cached;
  const bool transfer = linear.protocol == Protocol::transfer;
  goes_with({"epochs", "batch-size", "learning-rate", "seed"}, "--protocol augmented",
            linear.protocol == Protocol::augmented);
  goes_with({"l2", "tolerance", "labels-per-class", "label-fraction"}, "--protocol cached", cached);
  goes_with({"max-iterations"}, "--protocol cached or transfer", cached || transfer);
  goes_with({"layer"}, "--protocol cached or transfer", cached || transfer);
  goes_with({"l2-grid", "validation", "metric"}, "--protocol transfer", transfer);
  if (linear.label_fraction && !linear.labels_per_class.empty()) {
    refuse("options --label-fraction and --labels-per-class: give at most one of them");
  }
  std::set<std::int64_t> numbers;
  for (const std::int64_t number : linear.labels_per_class) {
    if (numbers.insert(number).second) continue;
    refuse("option --labels-per-class: {} is in the list twice; give each number once", number);
  }
  if (linear.predictions && (linear.draws > 1 || linear.labels_per_class.size() > 1)) {
    refuse("option --predictions: goes with one draw of one number of labels only");
  }
  const auto more_draws = static_cast<std::uint64_t>(linear.draws - 1);
  if (linear.label_seed + more_draws < linear.label_seed) {
    refuse("options --label-seed and --draws: the seeds of {} draws end above {}, the largest",
           linear.draws, std::numeric_limits<std::uint64_t>::max());
  }
  goes_with({"draws"}, "--labels-per-class or --label-fraction", linear.few_labels());
  goes_with({"label-seed"}, "--labels-per-class, --label-fraction or a fraction for --validation",
            linear.few_labels() || (transfer && validation_fraction(linear.validation)));
}

void require_cached_fits(const EvaluationJob& job, const LinearCachedConfig& linear) {
  const std::int64_t ranks = job.world().size();
  const std::int64_t rows = (std::max(job.train_samples(), job.test_samples()) + ranks - 1) / ranks;
  job.require_classifier_fits(cached_classifier_bytes(rows, job.feature_channels(), linear.classes),
                              linear.keep);
}

LinearCachedResult fit_cached(LabeledFeatures train, LabeledFeatures test,
                              const LinearCachedConfig& linear, EvaluationJob& job) {
  auto fit = linear_cached(std::move(train), std::move(test), linear, job.backend(), job.world());
  if (!fit.converged && job.world().rank() == 0) {
    log::warning("the fit stopped after {} iterations with a gradient of {:.1e}, above {:.1e}",
                 fit.iterations, fit.gradient_maximum,
                 linear.tolerance / static_cast<double>(linear.classes));
  }
  return fit;
}

Json details_of(const LinearCachedResult& fit) {
  return {{"train_loss", fit.train_loss},
          {"iterations", fit.iterations},
          {"gradient_maximum", fit.gradient_maximum},
          {"converged", fit.converged}};
}

PreparedEvaluation prepare_cached(EvaluationJob& job, LinearCachedConfig linear,
                                  std::unique_ptr<EvaluationResult> result) {
  linear.classes = job.classes();
  linear.keep = result->kept_predictions();
  require_cached_fits(job, linear);
  const auto work = [&job, linear, &to = *result] {
    LabeledFeatures train = job.train_features();
    const auto fit = fit_cached(std::move(train), job.test_features(), linear, job);
    to.report(fit.test, json_text(details_of(fit)));
  };
  return {std::move(result), work};
}

/// The samples of one draw.
struct Draw {
  LabelQuota quota;
  std::uint64_t seed = 0;
  std::vector<std::int64_t> samples;  ///< ascending indices into the labels
};

/// All draws of each quota in turn.
std::vector<Draw> draw_all(const LinearOptions& linear, const std::vector<std::int64_t>& labels) {
  std::vector<LabelQuota> quotas;
  if (linear.label_fraction) quotas.push_back({.fraction = linear.label_fraction, .per_class = {}});
  for (const std::int64_t n : linear.labels_per_class) {
    quotas.push_back({.fraction = {}, .per_class = n});
  }
  std::vector<Draw> draws;
  for (const LabelQuota& quota : quotas) {
    for (std::int64_t draw = 0; draw < linear.draws; ++draw) {
      const std::uint64_t seed = linear.label_seed + static_cast<std::uint64_t>(draw);
      draws.push_back({quota, seed, draw_labeled(labels, quota, seed)});
    }
  }
  return draws;
}

/// Mean and deviation over the draws of one quota, and the values; `first` is the first draw.
Json summarize_draws(const Draw& first, const std::vector<double>& top1) {
  const auto count = static_cast<double>(top1.size());
  const double mean = std::accumulate(top1.begin(), top1.end(), 0.0) / count;
  double squares = 0;
  for (const double value : top1) squares += (value - mean) * (value - mean);
  Json summary;
  if (first.quota.per_class) summary["labels_per_class"] = *first.quota.per_class;
  if (first.quota.fraction) summary["label_fraction"] = *first.quota.fraction;
  summary["labels"] = first.samples.size();
  summary["top1_mean"] = mean;
  summary["top1_deviation"] = top1.size() > 1 ? Json(std::sqrt(squares / (count - 1))) : Json();
  summary["top1"] = top1;
  return summary;
}

/// Fits the classifier to each draw and reports the accuracies.
void learn_from_draws(EvaluationJob& job, const LinearCachedConfig& linear,
                      const std::vector<Draw>& draws, std::int64_t draws_of_quota,
                      const EvaluationResult& to) {
  const TransferRows train = job.train_rows();
  const LabeledFeatures test = job.test_features();
  Json summaries = Json::array();
  std::vector<double> top1;
  for (const Draw& draw : draws) {
    LabeledFeatures drawn = train.subset(job.rows_of_samples(draw.samples, train.h.rows())).h;
    const auto fit = fit_cached(std::move(drawn), test, linear, job);
    if (draws.size() == 1) {
      Json details = details_of(fit);
      details["labels"] = draw.samples.size();
      to.report(fit.test, json_text(details));
      return;
    }
    top1.push_back(class_accuracy(fit.test, job.world()).all.top1);
    if (std::ssize(top1) < draws_of_quota) continue;
    summaries.push_back(summarize_draws(draw, std::exchange(top1, {})));
    log::info("{} labels: top-1 {:.2f} %, mean of {} draws", draw.samples.size(),
              100 * summaries.back().at("top1_mean").get<double>(), draws_of_quota);
  }
  to.report(fmt::format("top-1 {:.2f} % with {} labels, mean of {} draws",
                        100 * summaries.back().at("top1_mean").get<double>(),
                        draws.back().samples.size(), draws_of_quota),
            json_text(Json{{"draws", draws_of_quota}, {"few_labels", summaries}}));
}

PreparedEvaluation prepare_few_labels(EvaluationJob& job, const LinearOptions& options,
                                      std::unique_ptr<EvaluationResult> result) {
  LinearCachedConfig linear = options.cached;
  linear.classes = job.classes();
  linear.keep = result->kept_predictions();
  require_cached_fits(job, linear);
  const auto work = [&job, linear, draws = draw_all(options, job.train_labels()),
                     draws_of_quota = options.draws,
                     &to = *result] { learn_from_draws(job, linear, draws, draws_of_quota, to); };
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
    linear_.predictions = options.given("predictions");
    refuse_contradictions(options, linear_);
  }

  [[nodiscard]] TransferData transfer_data() const override {
    return is_transfer() ? simclr::transfer_data(linear_) : TransferData{};
  }

  void check_data(std::int64_t samples, const std::vector<std::int64_t>& labels) override {
    // The default batch size depends on the checkpoint.
    if (linear_.batch_size) simclr::validate({.batch_size = *linear_.batch_size}, samples, 1);
    draw_all(linear_, labels);
    if (is_transfer()) check_transfer(linear_, samples, labels);
  }

  PreparedEvaluation prepare(EvaluationJob& job, const EvaluationConfig& config,
                             const Options& options) override {
    const auto result_of = [&](const char* protocol) {
      return std::make_unique<EvaluationResult>(job, config, protocol, options);
    };
    if (is_transfer()) return prepare_transfer(job, linear_, result_of("linear-transfer"));
    if (linear_.protocol == Protocol::augmented) {
      return prepare_augmented(job, linear_, result_of("linear-augmented"));
    }
    return linear_.few_labels() ? prepare_few_labels(job, linear_, result_of("linear-few-labels"))
                                : prepare_cached(job, linear_.cached, result_of("linear-cached"));
  }

 private:
  [[nodiscard]] bool is_transfer() const { return linear_.protocol == Protocol::transfer; }
  LinearOptions linear_;
};

}  // namespace

std::unique_ptr<Evaluation> make_linear_evaluation() {
  return std::make_unique<LinearEvaluation>();
}

}  // namespace simclr
