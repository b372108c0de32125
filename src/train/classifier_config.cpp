#include "simclr/train/classifier_config.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/io/array_file.hpp"
#include "simclr/io/writable.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kFewOfAll = 10;
constexpr const char* kLabelsFile = "labels.txt";  ///< in the run directory

std::vector<double> channel_values(const std::optional<std::array<float, 3>>& channels) {
  if (!channels) return {};
  return {channels->begin(), channels->end()};
}

}  // namespace

void ClassifierConfig::note_given(const Options& options) {
  for (const auto& [name, value] : options.values()) {
    if (options.given(name)) given_.insert(name);
  }
  if (!is_given("nesterov")) nesterov = optimizer == OptimizerKind::sgd;
}

void ClassifierConfig::declare_all(Options& options, const std::function<void()>& declare_model) {
  declare_data_options(options, *this);
  declare_labels(options);
  options
      .add("predictions", predictions,
           "HDF5 file to write, after the last epoch, with the label, five best classes and logits "
           "of every test image")
      .argument("FILE")
      .may_change_on_resume();
  declare_model();
  options.group("batch")
      .add("batch-size", batch_size, "images of a step, summed over all ranks")
      .range(at_least(1).at_most(kMostBatchSamples));
  declare_batch_norm(options, *this);
  options.group("augmentation");
  declare_augmentation(options, *this);
  declare_optimizer_options(options, *this);
  declare_training_device_options(options, *this);
  declare_recompute(options, *this);
  declare_run_options(options, *this);
}

void ClassifierConfig::declare_labels(Options& options) {
  options.group("labels");
  declare_label_options(options, *this);
  options.add("classes", classes, "number of classes; 0: as many as the training data have")
      .range(at_least(0).at_most(static_cast<double>(kMostClasses)));
}

void ClassifierConfig::validate() const {
  EncoderTraining::validate();
  validate_labels();
}

/// Refuses a file of predictions that could not be written, or would replace a file of the run.
void ClassifierConfig::require_predictions_file() const {
  if (!predictions) return;
  const auto directory = std::filesystem::weakly_canonical(*predictions).parent_path();
  for (const char* own : {"checkpoints", "eval"}) {
    if (directory != std::filesystem::weakly_canonical(run_dir / own)) continue;
    refuse("option --predictions: {} is in the folder of the run's {}; name another place",
           predictions->string(), own);
  }
  require_likely_writable({.file = *predictions,
                           .option = "predictions",
                           .creates_directories = true,
                           .format = kPredictionsFormat,
                           .origin = predictions_origin()});
}

/// Refuses a list of the run's samples that has gone, where the run's own copy can stand for it.
void ClassifierConfig::require_labels_file() const {
  const auto own = run_dir / kLabelsFile;
  if (labels_file.empty() || std::filesystem::exists(labels_file)) return;
  if (labels_hash.empty() || !std::filesystem::exists(own)) return;
  refuse("option --labels-file: there is no {} any more; {} lists the same samples, give that",
         labels_file.string(), own.string());
}

std::string ClassifierConfig::predictions_origin() const {
  if (!test_) return "";
  return fmt::format("{} of {} on {}", command(),
                     std::filesystem::weakly_canonical(run_dir).string(),
                     hash_text(test_->fingerprint));
}

void ClassifierConfig::validate_data(const ShardSetInfo& info) const {
  if (!is_complete() && !is_given("batch-size")) return;
  const std::int64_t samples = training_samples(info);
  if (batch_size <= samples) return;
  refuse("option --batch-size: {} is more than the {} labeled images to train on; give at most {}",
         batch_size, samples, samples);
}

void ClassifierConfig::prepare_without_data(std::int64_t samples) {
  if (classes == 0)
    refuse("option --classes: missing; give the number of classes beside --samples");
  const std::vector<std::string> given = choices();
  if (!given.empty()) {
    refuse(
        "option --{}: goes with --data; with --samples, give the number of labeled images as that",
        given.front());
  }
  fit_batch(samples);
}

void ClassifierConfig::prepare(const ShardSet& set, OpenWeights open, Communicator& world) {
  on_root(world, [&] {
    take_over_stored_run();
    require_labels_file();
  });
  share_options(world);
  labeled_ = choose_samples(set, world);
  labels_hash = labeled_.hash;
  class_names_ = set.info().class_names;
  // Reads the few images that are trained on instead of all of them.
  if (!is_given("cache") && sample_choice() != nullptr &&
      labeled_.size() <= set.info().samples / kFewOfAll) {
    cache = CacheMode::none;
  }
  if (!eval_data.empty()) test_.emplace(open_labeled(eval_data, "eval-data", world));
  on_root(world, [&] {
    require_predictions_file();
    complete(open, labeled_);
    fit_batch(sample_choice() != nullptr ? labeled_.size() : set.info().samples);
  });
  share_options(world);
  if (test_) {
    ShardSetInfo known = set.info();
    if (known.labeled_samples == 0) known.classes = is_complete() ? classes : kMostClasses;
    match_classes(known, *test_, "eval-data");
  }
  validate();
}

LabeledSamples ClassifierConfig::choose_samples(const ShardSet& set, Communicator& world) {
  LabeledSamples chosen = choose_labeled(*this, set, world);
  const std::int64_t in_data = set.info().classes;
  require_class_count(set.info(), "data");
  if (classes == 0) classes = in_data;
  if (classes < in_data) {
    refuse("option --classes: {} is less than the {} classes of {}", classes, in_data,
           data.string());
  }
  return chosen;
}

/// Gives all ranks the options of rank 0.
void ClassifierConfig::share_options(Communicator& world) {
  constexpr std::string_view kPrefix = "option --";
  Options options = declared_options(*this);
  std::string text = fmt::format("[{}]\n", command());
  for (const auto& [name, value] : options.values_of_all_ranks()) {
    if (!value.empty()) text += fmt::format("{} = {}\n", name.substr(kPrefix.size()), value);
  }
  options.parse_text(broadcast_text(world, text), command());
  complete_ = broadcast_value(world, complete_);
}

/// Values that the command line leaves to a run that has begun are those of the run.
void ClassifierConfig::take_over_stored_run() {
  if (resume == "none") return;
  auto stored = stored_run_options(run_dir, command());
  if (!stored && resume != "auto") {
    FoundCheckpoint found = open_checkpoint(resume);
    stored = StoredText{std::move(found.checkpoint.configuration), found.file.path.string(), {}};
    require_run_of(command(), *stored);
  }
  if (!stored) return;
  AnyTraining run = read_training(stored->text, stored->origin);
  std::vector<std::pair<std::string, std::string>> values;
  for (auto& value : declared_options(*run).stored_values()) {
    if (value.first != "run-dir") values.push_back(std::move(value));
  }
  set_defaults(values);
  for (const auto& [name, value] : values) given_.insert(name);
}

void ClassifierConfig::set_defaults(
    const std::vector<std::pair<std::string, std::string>>& values) {
  std::string text = fmt::format("[{}]\n", command());
  for (const auto& [name, value] : values) {
    if (!value.empty() && !is_given(name)) text += fmt::format("{} = {}\n", name, value);
  }
  Options options = declared_options(*this);
  options.parse_text(text, command());
}

void ClassifierConfig::take_over(const EncoderWeights& from, std::span<const char* const> names) {
  const auto described = copy();
  const ModelDescription& model = from.model;
  described->encoder = model.encoder.name();
  described->width = model.encoder.width;
  described->stem = model.encoder.stem == Stem::cifar ? StemChoice::cifar : StemChoice::imagenet;
  described->projection_shortcut_everywhere = model.encoder.projection_shortcut_everywhere;
  described->pool_padding = model.encoder.pool_padding;
  described->sk_ratio = model.encoder.sk_ratio;
  described->head = model.head;
  described->mean = channel_values(model.mean);
  described->std = channel_values(model.std);
  described->image_size = model.image_size;
  const auto theirs_list = declared_options(*described).values();
  const auto mine_list = declared_options(*this).values();
  const std::map<std::string, std::string> theirs(theirs_list.begin(), theirs_list.end());
  const std::map<std::string, std::string> mine(mine_list.begin(), mine_list.end());
  std::vector<std::pair<std::string, std::string>> values;
  for (const std::string name : names) {
    values.emplace_back(name, theirs.at(name));
    const bool is_stem = name == "stem";
    const bool chosen_by_size = is_stem && mine.at(name) == "auto";
    if (is_stem) stem = described->stem;
    if (!is_given(name) || chosen_by_size || mine.at(name) == theirs.at(name)) continue;
    refuse("option --{}: '{}' is not what {} was trained with, '{}'; leave the option out", name,
           mine.at(name), from.file.string(), theirs.at(name));
  }
  set_defaults(values);
  // Not part of a model, but of how its images were made.
  if (!is_given("interpolation")) interpolation = from.interpolation.value_or(interpolation);
}

void ClassifierConfig::fit_batch(std::int64_t samples) {
  if (is_given("batch-size") || !is_complete()) return;
  const auto most = std::bit_floor(static_cast<std::uint64_t>(samples));
  batch_size = std::min(batch_size, static_cast<std::int64_t>(most));
}

void ClassifierConfig::complete(OpenWeights /*open*/, const LabeledSamples& /*labeled*/) {}

const SampleChoice* ClassifierConfig::sample_choice() const {
  return labeled_.samples.empty() ? nullptr : &labeled_;
}

std::vector<std::pair<std::string, std::string>> ClassifierConfig::run_files() const {
  if (sample_choice() == nullptr) return {};
  std::string labels;
  for (const std::int64_t sample : labeled_.samples) labels += fmt::format("{}\n", sample);
  return {{kLabelsFile, std::move(labels)}};
}

ModelDescription ClassifierConfig::model() const {
  ModelDescription model = EncoderTraining::model();
  if (head_layers() == 0) model.head = {.kind = HeadKind::none};
  model.classifier = {.classes = classes, .head_layers = head_layers()};
  return model;
}

Objective ClassifierConfig::objective() const {
  return cross_entropy_objective(batch_size, classes);
}

Task ClassifierConfig::task(int /*rank*/, int world_size) const {
  const BatchNormSpec batch_norm = batch_norm_spec(world_size);
  const bool all_frozen = frozen_groups() >= kEncoderGroups;
  return {.program = record_classifier({.encoder = encoder_spec(),
                                        .head = head,
                                        .head_layers = head_layers(),
                                        .frozen_groups = frozen_groups(),
                                        .batch_norm = batch_norm,
                                        .batch = samples_per_rank(world_size),
                                        .image_size = image_size,
                                        .activations = activation_type(device.precision),
                                        .recompute_blocks = recompute == Recompute::blocks,
                                        .classes = classes,
                                        .init = classifier_init(),
                                        .teacher = teacher_spec(),
                                        .global_batch = batch_size,
                                        .optimizer = optimizer_spec(),
                                        .world_size = world_size}),
          .objective = objective(),
          .inputs = {views_input(), labels_input()},
          .optimizer = optimizer_spec(),
          .ranks_per_bn_group = all_frozen ? 1 : batch_norm.ranks_per_group,
          .advice = "lower --learning-rate or check the data"};
}

SupervisedConfig::SupervisedConfig() {
  head.kind = HeadKind::none;
  augment = {"crop", "flip"};
  batch_size = 256;
  optimizer = OptimizerKind::sgd;
  nesterov = true;
  learning_rate = 0.1;
  warmup_epochs = 0;
  weight_decay = 1e-4;
  epochs = 90;
}

std::unique_ptr<TrainingConfig> SupervisedConfig::with_defaults() const {
  return std::make_unique<SupervisedConfig>();
}

std::unique_ptr<EncoderTraining> SupervisedConfig::copy() const {
  return std::make_unique<SupervisedConfig>(*this);
}

void SupervisedConfig::declare(Options& options) {
  declare_all(options, [&] {
    options.group("encoder");
    declare_encoder(options, *this);
  });
}

ClassifierInit SupervisedConfig::classifier_init() const {
  return {.stddev = 0.01F, .regularized = true, .bias_regularized = true};
}

}  // namespace simclr
