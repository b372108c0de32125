#include "simclr/eval/evaluation_job.hpp"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kMostClasses = 1 << 24;
constexpr double kMostFeatureBatch = 1 << 20;

/// Opens a shard set; refuses one whose labels are missing or out of range.
ShardSet open_labeled(const fs::path& directory, const char* option) {
  if (directory.empty()) refuse("option --{}: name a directory of shards", option);
  ShardSet set(directory);
  if (!set.info().labeled) {
    refuse("--{} {}: has no labels; evaluation needs labeled data", option, directory.string());
  }
  const auto& labels = set.labels();
  if (const auto lowest = *std::min_element(labels.begin(), labels.end()); lowest < 0) {
    refuse("--{} {}: holds label {}; labels count from 0", option, directory.string(), lowest);
  }
  if (set.info().classes > kMostClasses) {
    refuse("--{} {}: holds label {}; allowed: below {}", option, directory.string(),
           set.info().classes - 1, kMostClasses);
  }
  return set;
}

/// Refuses sets in which a label has different class names. Sets without class names are not
/// checked.
void require_same_classes(const ShardSetInfo& train, const ShardSetInfo& test,
                          const fs::path& test_data) {
  const auto count = std::min(train.class_names.size(), test.class_names.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (train.class_names[i] == test.class_names[i]) continue;
    refuse(
        "--test-data {}: label {} is '{}', in the training data it is '{}'; pack both from folders "
        "of the same classes",
        test_data.string(), i, test.class_names[i], train.class_names[i]);
  }
}

/// Returns RUN/eval/NAME.json for RUN/checkpoints/step-0000000100.h5.
fs::path default_output(const FrozenEncoder& encoder, const std::string& name) {
  const fs::path directory = fs::absolute(encoder.file()).parent_path();
  if (directory.filename() != "checkpoints") {
    refuse("{}: not in a run directory; name the result's file with --output",
           encoder.file().string());
  }
  return directory.parent_path() / "eval" / (name + ".json");
}

nlohmann::ordered_json options_json(const Options& options) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const auto& [name, value] : options.values()) object[name] = value;
  return object;
}

const EvaluationConfig& validated(const EvaluationConfig& config) {
  if (config.checkpoint.empty())
    refuse("option --checkpoint: name a checkpoint or a run directory");
  return config;
}

}  // namespace

void declare_encoder_options(Options& options, EvaluationConfig& config) {
  options.group("checkpoint")
      .add("checkpoint", config.checkpoint,
           "encoder to evaluate: a checkpoint file, or a run directory, which stands for its "
           "newest valid checkpoint");
  options.group("device");
  declare_device_options(options, config.device);
  declare_precision_options(options, config.device);
  declare_rank_options(options, config.device);
  options
      .add("feature-batch", config.feature_batch,
           "images that each rank encodes at a time: more take more memory")
      .range(at_least(1).at_most(kMostFeatureBatch));
  declare_cache(options, config.cache, "when needed");
}

void declare_evaluation_options(Options& options, EvaluationConfig& config) {
  declare_encoder_options(options, config);
  options.group("data and result")
      .add("train-data", config.train_data, "labeled images to learn from: a directory of shards")
      .add("test-data", config.test_data,
           "labeled images on which accuracy is measured: a directory of shards")
      .add("output", config.output,
           "JSON file to write the result to; unset: eval/NAME.json in the run directory")
      .add("name", config.name, "NAME of the result's file; unset: PROTOCOL-step-STEP")
      .rule("the name of a file in RUN/eval", [](const std::string& name) {
        return !name.empty() && name.find('/') == std::string::npos;
      });
  options.group("instead of evaluating")
      .action<DryRun>(
          "dry-run", config.dry_run, {{"here", DryRun::here}},
          "check all that can be checked before work begins, say in one line what would "
          "be done, write nothing; exit code 0, or 2 with the refusal");
}

EncoderJob::EncoderJob(const EvaluationConfig& config, Communicator& world)
    : config_(validated(config)),
      world_(&world),
      watchdog_(watch_ranks(config.device, world)),
      encoder_(config.checkpoint, world),
      threads_(compute_threads(config.device, world)),
      backend_(make_backend(config.device, threads_, world)),
      activations_(activation_type(resolve_precision(config.device, *backend_))) {}

std::unique_ptr<SampleStore> EncoderJob::open(const fs::path& data, std::int64_t batch_samples) {
  if (!std::exchange(begun_, true)) report_device(config_.device, *backend_);
  activity().begin("reading a data set");
  auto store = open_sample_store(data, config_.cache, *world_, threads_, batch_samples);
  log::info("data: {}", store->description());
  return store;
}

ExtractedFeatures EncoderJob::features(const fs::path& data, bool with_head) {
  const auto store = open(data, config_.feature_batch);
  log::info("features of {} samples of {}", store->info().samples, data.string());
  activity().begin("computing features");
  return extract_features(encoder_, *store,
                          {.batch_size = config_.feature_batch,
                           .activations = activations(),
                           .with_head = with_head,
                           .threads = threads_},
                          *backend_, *world_);
}

EvaluationJob::EvaluationJob(const EvaluationConfig& config, std::string protocol,
                             Communicator& world)
    : EncoderJob(config, world), protocol_(std::move(protocol)) {
  const ShardSet train = open_labeled(config.train_data, "train-data");
  const ShardSet test = open_labeled(config.test_data, "test-data");
  classes_ = train.info().classes;
  if (test.info().classes > classes_) {
    refuse("--test-data {}: has {} classes, the training data has {}", config.test_data.string(),
           test.info().classes, classes_);
  }
  require_same_classes(train.info(), test.info(), config.test_data);
  train_name_ = train.info().name;
  test_name_ = test.info().name;
  train_samples_ = train.info().samples;
  test_samples_ = test.info().samples;
  const std::string name =
      config.name.value_or(fmt::format("{}-step-{:010}", protocol_, encoder().step()));
  output_ = config.output ? *config.output : default_output(encoder(), name);
}

bool EvaluationJob::finish_dry_run() const {
  if (!config_.dry_run) return false;
  for (const fs::path& data : {config_.train_data, config_.test_data}) {
    require_cache_fits(data, config_.cache, *world_, config_.feature_batch);
  }
  if (world_->rank() == 0) {
    std::cout << fmt::format(
        "dry run: would evaluate {} by {}: {} training and {} test images of {} classes, on {} "
        "rank{}; result in {}\n",
        encoder().file().string(), protocol_, train_samples_, test_samples_, classes_,
        world_->size(), world_->size() == 1 ? "" : "s", output_.string());
  }
  return true;
}

void EvaluationJob::report(const Accuracy& accuracy, const Options& options,
                           const std::string& details) const {
  if (world_->rank() != 0) return;
  nlohmann::ordered_json result{
      {"protocol", protocol_},
      {"top1", accuracy.top1},
      {"top5", accuracy.top5},
      {"samples", accuracy.samples},
      {"classes", classes_},
      {"train_samples", train_samples_},
      {"train_data", train_name_},
      {"test_data", test_name_},
      {"checkpoint", encoder().file().filename().string()},
      {"checkpoint_hash", encoder().checksum()},
      {"step", encoder().step()},
      {"ranks", world_->size()},
  };
  if (!details.empty()) result.update(nlohmann::ordered_json::parse(details));
  result["options"] = options_json(options);
  if (output_.has_parent_path()) fs::create_directories(output_.parent_path());
  write_file(output_, result.dump(2) + "\n");
  log::info("{}: top-1 {:.2f} %, top-5 {:.2f} % of {} test samples; {} ({})", protocol_,
            100 * accuracy.top1, 100 * accuracy.top5, accuracy.samples,
            encoder().file().filename().string(), output_.string());
}

}  // namespace simclr
