#include "simclr/eval/evaluation_job.hpp"

#include <algorithm>
#include <iostream>
#include <regex>
#include <utility>

#include "simclr/comm/session.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/system.hpp"
#include "simclr/data/labeled_data.hpp"
#include "simclr/data/memory_budget.hpp"
#include "simclr/train/encoder_training.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

constexpr double kMostFeatureBatch = 1 << 20;

/// Refuses validation data on which the choice of a penalty would tell nothing.
void require_validation(const LabeledData& train, LabeledData& validation,
                        const LabeledData& test) {
  match_classes(train.info, validation, "validation");
  for (const auto& [data, what] : {std::pair(&train, "training"), std::pair(&test, "test")}) {
    if (!difference(data->fingerprint, validation.fingerprint).empty()) continue;
    refuse(
        "option --validation: {} holds the {} data; name other images, or a fraction to hold out",
        validation.info.path.string(), what);
  }
}

}  // namespace

void declare_encoder_options(Options& options, EvaluationConfig& config) {
  options.group("checkpoint")
      .add("checkpoint", config.checkpoint,
           "encoder to evaluate: a checkpoint file, or a run directory, which stands for its "
           "newest valid checkpoint")
      .argument("RUN_OR_FILE");
  options.group("device");
  declare_device_options(options, config.device);
  declare_precision_options(options, config.device);
  declare_rank_options(options, config.device);
  options
      .add("feature-batch", config.feature_batch,
           "images that each rank encodes at a time: more take more memory")
      .range(at_least(1).at_most(kMostFeatureBatch));
  declare_cache(options, config.cache, "when needed");
  options.require_given({"checkpoint"});
}

void declare_layer(Options& options, EvaluationConfig& config) {
  static const std::regex kLayer("h|layer[1-4]|head[1-9][0-9]{0,3}|z");
  options
      .add("layer", config.layer,
           "features to take: h, which is layer4; layer1 to layer3, the mean over pixels of an "
           "earlier group of blocks; head1 and so on, a layer of the projection head; z, the last "
           "of these")
      .rule("h, layer1, layer2, layer3, layer4, head1, head2 and so on, or z",
            [](const std::string& name) { return std::regex_match(name, kLayer); })
      .argument("NAME");
}

void declare_shared_options(Options& options, EvaluationConfig& config) {
  declare_encoder_options(options, config);
  options.group("features");
  declare_layer(options, config);
  options.group("data")
      .add("train-data", config.train_data,
           "labeled images to learn from: a directory of shards; unset: the run's --data")
      .argument("DIR")
      .may_differ_between_ranks()
      .add("test-data", config.test_data,
           "labeled images on which accuracy is measured: a directory of shards; unset: the run's "
           "--eval-data")
      .argument("DIR")
      .may_differ_between_ranks();
  declare_dry_run(options, config);
}

void declare_evaluation_options(Options& options, EvaluationConfig& config) {
  declare_shared_options(options, config);
  options.group("result")
      .add("output", config.output,
           "JSON file to write the result to, as for a run that is read-only; unset: "
           "eval/NAME.json in the run directory")
      .add("name", config.name,
           "NAME of the result's file; unset: PROTOCOL-step-STEP, longer where a result of other "
           "data or options has this name")
      .argument("NAME")
      .rule("the name of a file in RUN/eval",
            [](const std::string& name) {
              return !name.empty() && name.find('/') == std::string::npos;
            })
      .add("predictions", config.predictions,
           "HDF5 file to write each test sample's label, five best classes and scores to, for "
           "scripts/compare_predictions.py; unset: none")
      .argument("FILE");
}

void declare_dry_run(Options& options, EvaluationConfig& config) {
  options.group("instead of evaluating")
      .action<DryRun>(
          "dry-run", config.dry_run, {{"here", DryRun::here}, {"elsewhere", DryRun::elsewhere}},
          "check all that can be checked before work begins, say in one line what would "
          "be done, write nothing; exit code 0, or 2 with the refusal. elsewhere: only options "
          "and data, without checkpoint, device and MPI, before a job is submitted");
}

EncoderJob::EncoderJob(const EvaluationConfig& config, Communicator& world)
    : config_(config),
      world_(&world),
      watchdog_(watch_ranks(config.device, world)),
      encoder_(config.checkpoint, world),
      layer_(parse_feature_layer(config.layer, encoder_.model())),
      threads_(compute_threads(config.device, world)),
      backend_(make_backend(config.device, threads_, world)),
      activations_(activation_type(resolve_precision(config.device, *backend_))) {}

std::int64_t EncoderJob::feature_channels() const {
  const ModelDescription& model = encoder_.model();
  const Program program = record_features({.encoder = model.encoder,
                                           .head = model.head,
                                           .layer = layer_,
                                           .batch = 1,
                                           .image_size = model.image_size});
  return program.info(program.at("features")).shape[-1];
}

std::unique_ptr<SampleStore> EncoderJob::open(const ShardSet& data, std::int64_t batch_samples) {
  if (!std::exchange(begun_, true)) report_device(config_.device, *backend_);
  activity().begin("reading a data set");
  auto store = open_sample_store(data, config_.cache, *world_, threads_, batch_samples);
  log::info("data: {}", store->description());
  return store;
}

ExtractedFeatures EncoderJob::features(SampleStore& store, bool with_head) {
  log::info("features ({}) of {} samples of '{}'", config_.layer, store.info().samples,
            store.info().name);
  activity().begin("computing features");
  ExtractedFeatures features = extract_features(encoder_, store,
                                                {.batch_size = config_.feature_batch,
                                                 .activations = activations(),
                                                 .layer = layer_,
                                                 .with_head = with_head,
                                                 .threads = threads_},
                                                *backend_, *world_);
  features.layer = config_.layer;
  return features;
}

EvaluationJob::EvaluationJob(const EvaluationConfig& config, Communicator& world,
                             const TransferData& transfer)
    : EncoderJob(config, world) {
  take_data_of_run();
  const auto open = [&](const fs::path& directory, const char* option) {
    return std::make_unique<LabeledData>(
        open_labeled(directory, option, world, transfer.multi_label));
  };
  train_ = open(config_.train_data, "train-data");
  test_ = open(config_.test_data, "test-data");
  if (config.train_data.empty() && !encoder().data().empty()) require_data_of_run(*train_);
  match_classes(train_->info, *test_);
  if (transfer.validation.empty()) return;
  validation_ = open(transfer.validation, "validation");
  require_validation(*train_, *validation_, *test_);
}

bool finish_dry_run_elsewhere(const EvaluationConfig& config, const std::string& command,
                              Communicator& world, const DataCheck& check_options,
                              const TransferData& transfer) {
  if (config.dry_run != DryRun::elsewhere) return false;
  if (config.train_data.empty() || config.test_data.empty()) {
    refuse("option --{}-data: missing; --dry-run=elsewhere opens no run that could name the data",
           config.train_data.empty() ? "train" : "test");
  }
  const bool marks = transfer.multi_label;
  const LabeledData train = open_labeled(config.train_data, "train-data", world, marks);
  LabeledData test = open_labeled(config.test_data, "test-data", world, marks);
  match_classes(train.info, test);
  if (!transfer.validation.empty()) {
    LabeledData validation = open_labeled(transfer.validation, "validation", world, marks);
    require_validation(train, validation, test);
  }
  check_options(train.labeled(), train.labels);
  std::cout << fmt::format(
      "dry run: would evaluate {} by {}: {} training and {} test images of {} classes; checkpoint, "
      "device and memory are for the job to check\n",
      config.checkpoint.string(), command, train.labeled(), test.labeled(), train.info.classes);
  return true;
}

EvaluationJob::~EvaluationJob() = default;

/// Replaces data that are not named by those of the checkpoint's run.
void EvaluationJob::take_data_of_run() {
  if (!config_.train_data.empty() && !config_.test_data.empty()) return;
  const AnyTraining run = read_training(encoder().configuration(), encoder().file().string());
  if (config_.train_data.empty()) config_.train_data = run->data;
  if (config_.test_data.empty()) config_.test_data = run->eval_data;
  if (config_.train_data.empty()) {
    refuse(
        "option --train-data: missing, and {} does not name the run's data; give DIR, a directory "
        "of shards",
        encoder().file().string());
  }
  if (config_.test_data.empty()) {
    refuse(
        "option --test-data: missing, and the run has no --eval-data; give DIR, a directory of "
        "shards");
  }
}

/// Refuses data that have taken the place of those that the run was trained on.
void EvaluationJob::require_data_of_run(const LabeledData& data) const {
  const std::string origin = encoder().file().string();
  const std::string found =
      difference(parse_fingerprint(encoder().data(), origin), data.fingerprint);
  if (found.empty()) return;
  refuse(
      "option --train-data: the run's data ({}) are no longer those that it was trained on ({}): "
      "{}; name the data to learn from",
      data.path.string(), origin, found);
}

std::int64_t EvaluationJob::classes() const { return train_->info.classes; }
std::int64_t EvaluationJob::train_samples() const { return train_->labeled(); }
std::int64_t EvaluationJob::test_samples() const { return test_->labeled(); }
const std::vector<std::int64_t>& EvaluationJob::test_labels() const { return test_->labels; }
void EvaluationJob::require_classifier_fits(double rank_bytes, Predictions::Keep keep) const {
  const double scores =
      keep == Predictions::Keep::scores
          ? static_cast<double>(test_samples()) * static_cast<double>(classes()) * sizeof(float)
          : 0;
  const double needed = (rank_bytes + scores / world_->size()) * node_place(*world_).ranks;
  const MemoryBudget budget = measure_memory_budget(false);
  std::string shortage;
  if (needed > static_cast<double>(budget.bytes)) {
    shortage = fmt::format(
        "option --train-data: the classifier of the {} classes of {}, whose largest label is {}, "
        "needs {} of memory, and {} has {} ({}); number the classes from 0 without gaps",
        classes(), train_->path.string(),
        multi_label() ? classes() - 1 : *std::ranges::max_element(train_->labels),
        size_text(static_cast<std::uint64_t>(needed)), host_name(), size_text(budget.bytes),
        budget.limited_by);
  }
  refuse_together(*world_, shortage);
}

std::unique_ptr<SampleStore> EvaluationJob::open_train(std::int64_t batch_samples) {
  return only_labeled(open(train_->set, batch_samples), *train_);
}
std::unique_ptr<SampleStore> EvaluationJob::open_test(std::int64_t batch_samples) {
  return only_labeled(open(test_->set, batch_samples), *test_);
}
LabeledFeatures EvaluationJob::features_of(std::optional<LabeledFeatures>& kept,
                                           const LabeledData& data) {
  if (!kept) {
    const std::int64_t batch = config_.feature_batch;
    kept = features(*only_labeled(open(data.set, batch), data), false).h;
  }
  if (keep_features_) return *kept;
  LabeledFeatures found = std::move(*kept);
  kept.reset();
  return found;
}

void EvaluationJob::require_caches_fit() const {
  for (const LabeledData* data : {train_.get(), test_.get(), validation_.get()}) {
    if (data == nullptr) continue;
    require_cache_fits(data->set, config_.cache, *world_, config_.feature_batch);
  }
}

}  // namespace simclr
