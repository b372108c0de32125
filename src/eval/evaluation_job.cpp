#include "simclr/eval/evaluation_job.hpp"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "result_file.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/system.hpp"
#include "simclr/data/labeled_data.hpp"
#include "simclr/data/memory_budget.hpp"
#include "simclr/io/array_file.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/writable.hpp"
#include "simclr/train/encoder_training.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

constexpr double kMostFeatureBatch = 1 << 20;

/// The options on which a result depends: not places of files, nor how the work is done.
nlohmann::ordered_json deciding_options(const Options& options) {
  EvaluationConfig any;
  Options shared("", "", {});
  declare_evaluation_options(shared, any);
  nlohmann::ordered_json object = options_json(options);
  for (const auto& [name, value] : shared.values()) {
    if (name != "precision") object.erase(name);
  }
  return object;
}

/// Of --predictions. Its directory is created like that of the result.
Output predictions_output(const fs::path& file) {
  return {.file = file,
          .option = "predictions",
          .creates_directories = true,
          .format = kPredictionsFormat};
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

void declare_evaluation_options(Options& options, EvaluationConfig& config) {
  declare_encoder_options(options, config);
  options.group("data and result")
      .add("train-data", config.train_data,
           "labeled images to learn from: a directory of shards; unset: the run's --data")
      .argument("DIR")
      .may_differ_between_ranks()
      .add("test-data", config.test_data,
           "labeled images on which accuracy is measured: a directory of shards; unset: the run's "
           "--eval-data")
      .argument("DIR")
      .may_differ_between_ranks()
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
  declare_dry_run(options, config);
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
      threads_(compute_threads(config.device, world)),
      backend_(make_backend(config.device, threads_, world)),
      activations_(activation_type(resolve_precision(config.device, *backend_))) {}

std::unique_ptr<SampleStore> EncoderJob::open(const ShardSet& data, std::int64_t batch_samples) {
  if (!std::exchange(begun_, true)) report_device(config_.device, *backend_);
  activity().begin("reading a data set");
  auto store = open_sample_store(data, config_.cache, *world_, threads_, batch_samples);
  log::info("data: {}", store->description());
  return store;
}

ExtractedFeatures EncoderJob::features(SampleStore& store, bool with_head) {
  log::info("features of {} samples of '{}'", store.info().samples, store.info().name);
  activity().begin("computing features");
  return extract_features(encoder_, store,
                          {.batch_size = config_.feature_batch,
                           .activations = activations(),
                           .with_head = with_head,
                           .threads = threads_},
                          *backend_, *world_);
}

EvaluationJob::EvaluationJob(const EvaluationConfig& config, std::string protocol,
                             const Options& options, Communicator& world)
    : EncoderJob(config, world), protocol_(std::move(protocol)) {
  take_data_of_run();
  train_ = std::make_unique<LabeledData>(open_labeled(config_.train_data, "train-data", world));
  test_ = std::make_unique<LabeledData>(open_labeled(config_.test_data, "test-data", world));
  if (config.train_data.empty() && !encoder().data().empty()) require_data_of_run(*train_);
  match_classes(train_->info, *test_);
  options_ = json_text(options_json(options));
  // Through text, so that it compares with what was read from a file.
  identity_ = json_text(EvaluationIdentity{{"protocol", protocol_},
                                           {"checkpoint_hash", encoder().checksum()},
                                           {"train_data", train_->info.name},
                                           {"test_data", test_->info.name},
                                           {"train_data_hash", hash_text(train_->fingerprint)},
                                           {"test_data_hash", hash_text(test_->fingerprint)},
                                           {"options", deciding_options(options)}});
  on_root(world, [&] { choose_output(); });
}

bool finish_dry_run_elsewhere(const EvaluationConfig& config, const std::string& command,
                              Communicator& world,
                              const std::function<void(std::int64_t samples)>& check_options) {
  if (config.dry_run != DryRun::elsewhere) return false;
  if (config.train_data.empty() || config.test_data.empty()) {
    refuse("option --{}-data: missing; --dry-run=elsewhere opens no run that could name the data",
           config.train_data.empty() ? "train" : "test");
  }
  const LabeledData train = open_labeled(config.train_data, "train-data", world);
  LabeledData test = open_labeled(config.test_data, "test-data", world);
  match_classes(train.info, test);
  check_options(train.labeled());
  if (config.output) require_likely_writable({.file = *config.output, .creates_directories = true});
  if (config.predictions) require_likely_writable(predictions_output(*config.predictions));
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

void EvaluationJob::choose_output() {
  const auto identity = EvaluationIdentity::parse(identity_);
  if (config_.output) {
    output_ = *config_.output;
    require_own_result(output_, "output", identity);
  } else if (config_.name) {
    output_ = result_directory(encoder().file()) / (*config_.name + ".json");
    require_own_result(output_, "name", identity);
  } else {
    output_ =
        free_result_file(result_directory(encoder().file()),
                         fmt::format("{}-step-{:010}", protocol_, encoder().step()), identity);
  }
  for (const Output& output : outputs()) require_likely_writable(output);
  if (config_.predictions &&
      fs::weakly_canonical(*config_.predictions) == fs::weakly_canonical(output_)) {
    refuse("option --predictions: {} is the file of the result; name another file",
           config_.predictions->string());
  }
}

/// The files that report() writes.
std::vector<Output> EvaluationJob::outputs() const {
  std::vector<Output> all{{.file = output_, .creates_directories = true}};
  if (config_.predictions) all.push_back(predictions_output(*config_.predictions));
  return all;
}

std::int64_t EvaluationJob::classes() const { return train_->info.classes; }
std::int64_t EvaluationJob::train_samples() const { return train_->labeled(); }
std::int64_t EvaluationJob::test_samples() const { return test_->labeled(); }
Predictions::Keep EvaluationJob::kept_predictions() const {
  return config_.predictions ? Predictions::Keep::scores : Predictions::Keep::best;
}

void EvaluationJob::require_classifier_fits(double rank_bytes) const {
  const double scores = config_.predictions ? static_cast<double>(test_samples()) *
                                                  static_cast<double>(classes()) * sizeof(float)
                                            : 0;
  const double needed = (rank_bytes + scores / world_->size()) * node_place(*world_).ranks;
  const MemoryBudget budget = measure_memory_budget(false);
  std::string shortage;
  if (needed > static_cast<double>(budget.bytes)) {
    shortage = fmt::format(
        "option --train-data: the classifier of the {} classes of {}, whose largest label is {}, "
        "needs {} of memory, and {} has {} ({}); number the classes from 0 without gaps",
        classes(), train_->path.string(), *std::ranges::max_element(train_->labels),
        size_text(static_cast<std::uint64_t>(needed)), host_name(), size_text(budget.bytes),
        budget.limited_by);
  }
  for (const std::string& found : gather_texts(*world_, shortage)) {
    if (!found.empty()) refuse("{}", found);
  }
}

std::unique_ptr<SampleStore> EvaluationJob::open_train(std::int64_t batch_samples) {
  return only_labeled(open(train_->set, batch_samples), *train_);
}
std::unique_ptr<SampleStore> EvaluationJob::open_test(std::int64_t batch_samples) {
  return only_labeled(open(test_->set, batch_samples), *test_);
}
LabeledFeatures EvaluationJob::train_features() {
  return features(*open_train(config_.feature_batch), false).h;
}
LabeledFeatures EvaluationJob::test_features() {
  return features(*open_test(config_.feature_batch), false).h;
}

bool EvaluationJob::finish_checks() const {
  if (!config_.dry_run) {
    on_root(*world_, [&] {
      for (const Output& output : outputs()) require_writable(output);
    });
    return false;
  }
  for (const LabeledData* data : {train_.get(), test_.get()}) {
    require_cache_fits(data->set, config_.cache, *world_, config_.feature_batch);
  }
  if (world_->rank() == 0) {
    std::cout << fmt::format(
        "dry run: would evaluate {} by {}: {} training and {} test images of {} classes, on {} "
        "rank{}; result in {}\n",
        encoder().file().string(), protocol_, train_->labeled(), test_->labeled(), classes(),
        world_->size(), world_->size() == 1 ? "" : "s", output_.string());
  }
  return true;
}

void EvaluationJob::report(const Predictions& part, const std::string& details) const {
  const ClassAccuracy measured = class_accuracy(part, *world_);
  on_root(*world_, [&] { write_result(measured, details); });
  if (!config_.predictions) return;
  write_predictions(*config_.predictions, part,
                    {.protocol = protocol_,
                     .checkpoint_hash = encoder().checksum(),
                     .test_data_hash = hash_text(test_->fingerprint),
                     .samples = test_->samples},
                    *world_);
  log::info("{}: predictions in {}", protocol_, config_.predictions->string());
}

void EvaluationJob::write_result(const ClassAccuracy& measured, const std::string& details) const {
  const Accuracy& accuracy = measured.all;
  // First, so that the number is not lost if the file cannot be written.
  log::info("{}: top-1 {:.2f} %, top-5 {:.2f} % of {} test samples; {} ({})", protocol_,
            100 * accuracy.top1, 100 * accuracy.top5, accuracy.samples,
            encoder().file().filename().string(), output_.string());
  const auto identity = EvaluationIdentity::parse(identity_);
  nlohmann::ordered_json result{{"protocol", protocol_}};
  nlohmann::ordered_json lists;  // last, because they are long
  const auto measured_json = nlohmann::ordered_json::parse(to_json(measured));
  for (const auto& [name, value] : measured_json.items()) {
    (value.is_array() ? lists : result)[name] = value;
  }
  result.update({
      {"classes", classes()},
      {"train_samples", train_->labeled()},
      {"train_data", train_->info.name},
      {"test_data", test_->info.name},
      {"train_data_hash", identity.at("train_data_hash")},
      {"test_data_hash", identity.at("test_data_hash")},
      {"train_unlabeled", train_->unlabeled()},
      {"test_unlabeled", test_->unlabeled()},
      {"checkpoint", encoder().file().filename().string()},
      {"checkpoint_hash", encoder().checksum()},
      {"step", encoder().step()},
      {"ranks", world_->size()},
  });
  if (!details.empty()) result.update(nlohmann::ordered_json::parse(details));
  result["options"] = nlohmann::ordered_json::parse(options_);
  write_file(output_, result_text(result, lists));
}

}  // namespace simclr
