#include <array>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/system.hpp"
#include "simclr/train/classifier_config.hpp"
#include "simclr/train/trainer.hpp"
#include "simclr/train/training_state.hpp"

namespace simclr {
namespace {

/// Divides logits that are far apart; below it exp() of their differences is 0 or infinite.
constexpr double kLeastTemperature = 0.001;
constexpr double kMostTemperature = 1000;

constexpr std::array kOfPreprocessing{"mean", "std", "image-size"};
constexpr std::array kOfEncoder{"encoder",      "width",   "stem", "projection-shortcut",
                                "pool-padding", "sk-ratio"};

/// A teacher's tensors under the names that they have beside a student.
Checkpoint renamed(Checkpoint checkpoint) {
  for (auto* tensors : {&checkpoint.parameters, &checkpoint.running}) {
    for (NamedTensor& tensor : *tensors) tensor.name = kTeacherPrefix + tensor.name;
  }
  return checkpoint;
}

}  // namespace

DistillConfig::DistillConfig() {
  head.kind = HeadKind::none;
  augment = {"crop", "flip"};
  learning_rate = 0.1;
  lr_scaling = LearningRateScaling::sqrt;
  warmup_epochs = 20;
  weight_decay = 1e-4;
  epochs = 400;
}

std::unique_ptr<TrainingConfig> DistillConfig::with_defaults() const {
  return std::make_unique<DistillConfig>();
}

std::unique_ptr<EncoderTraining> DistillConfig::copy() const {
  return std::make_unique<DistillConfig>(*this);
}

void DistillConfig::declare(Options& options) {
  declare_all(options, [&] {
    options.group("encoder of the student (the teacher's, unless --encoder is given)");
    declare_encoder(options, *this);
  });
}

void DistillConfig::declare_labels(Options& options) {
  options.group("teacher and labels")
      .add("teacher", teacher,
           "model to learn from: a run directory of finetune, supervised or distill, which stands "
           "for its newest valid checkpoint, or a checkpoint of one; every start reads it")
      .argument("RUN_OR_FILE")
      .add("teacher-hash", teacher_hash,
           "checksum of the teacher's checkpoint, which the program stores with the run; when "
           "given, another teacher is refused")
      .argument("HASH")
      .add("distill-temperature", temperature,
           "temperature of the softmax of teacher and student; SimCLRv2: 0.1 for a student like "
           "the teacher, 1 for a smaller one")
      .range(at_least(kLeastTemperature).at_most(kMostTemperature))
      .add("label-weight", label_weight,
           "part of the loss that compares the student with labels, where images have them; the "
           "rest compares it with the teacher")
      .range(at_least(0).at_most(1));
}

void DistillConfig::prepare_without_data(std::int64_t samples) {
  complete(OpenWeights::yes, {});
  fit_batch(samples);
  validate();
}

LabeledSamples DistillConfig::choose_samples(const ShardSet& set, Communicator& /*world*/) {
  const ShardSetInfo& info = set.info();
  require_class_count(info, "data");
  if (label_weight > 0 && info.mark_columns > 0) {
    refuse(
        "option --label-weight: {} has several labels for each sample; a classifier learns from "
        "one",
        info.path.string());
  }
  if (label_weight > 0 && info.labeled_samples == 0) {
    refuse("option --label-weight: {} has no labels to compare the student with; leave it at 0",
           info.path.string());
  }
  labels_ = label_weight > 0 ? info.labeled_samples : 0;
  LabeledSamples all;
  all.labeled = info.labeled_samples;
  return all;
}

EncoderWeights DistillConfig::read_teacher() const {
  if (teacher.empty()) {
    refuse("option --teacher: missing; give RUN_OR_FILE, the model to learn from");
  }
  EncoderWeights found = read_checkpoint_weights(teacher);
  if (!found.model.classifier) {
    refuse("option --teacher: {} has no classifier; train one with simclr finetune --checkpoint {}",
           found.file.string(), teacher.string());
  }
  if (!teacher_hash.empty() && teacher_hash != found.checkpoint.checksum) {
    refuse("option --teacher: {} has the checksum {}, but the run learns from one of checksum {}",
           found.file.string(), found.checkpoint.checksum, teacher_hash);
  }
  return found;
}

void DistillConfig::complete(OpenWeights open, const LabeledSamples& /*labeled*/) {
  complete_ = open == OpenWeights::yes || !teacher_hash.empty();
  if (!complete_) return;
  EncoderWeights from = read_teacher();
  read_how_trained(from);
  teacher_hash = from.checkpoint.checksum;
  take_over(from, kOfPreprocessing);
  if (!is_given("encoder")) take_over(from, kOfEncoder);
  classes = from.model.classifier->classes;
  teacher_model_ = from.model;
  from.checkpoint = renamed(std::move(from.checkpoint));
  teacher_weights_ = std::make_shared<const EncoderWeights>(std::move(from));
}

void DistillConfig::prepare(const ShardSet& set, OpenWeights open, Communicator& world) {
  ClassifierConfig::prepare(set, open, world);
  if (!is_complete()) return;
  const std::string described =
      broadcast_text(world, teacher_model_ ? to_json(*teacher_model_) : std::string());
  teacher_model_ = parse_model_description(described, teacher.string());
  classes = teacher_model_->classifier->classes;
  if (label_weight > 0 && set.info().classes > classes) {
    refuse("option --label-weight: {} has {} classes, but the teacher {} knows {}", data.string(),
           set.info().classes, teacher.string(), classes);
  }
}

void DistillConfig::load_frozen_weights(Trainer& trainer, Communicator& world) {
  require(teacher_weights_ != nullptr || world.rank() != 0, "rank 0 has read the teacher");
  const std::string origin = teacher_weights_ ? teacher_weights_->file.string() : "";
  log::info("the teacher is {}", origin);
  trainer.load({Part::teacher}, teacher_weights_ ? &teacher_weights_->checkpoint : nullptr, origin);
  teacher_weights_.reset();
  return_free_memory();
}

std::vector<Part> DistillConfig::initial_parts() const { return {Part::teacher}; }

std::optional<TeacherSpec> DistillConfig::teacher_spec() const {
  return TeacherSpec{.encoder = teacher_model_->encoder,
                     .head = teacher_model_->head,
                     .head_layers = teacher_model_->head_layers(),
                     .temperature = static_cast<float>(temperature),
                     .label_weight = static_cast<float>(label_weight)};
}

Objective DistillConfig::objective() const {
  return distillation_objective(batch_size, classes, temperature, label_weight);
}

std::string DistillConfig::result_details() const {
  return fmt::format(
      R"({{"labels": {}, "teacher_hash": "{}", "distill_temperature": {}, "label_weight": {}}})",
      labels_, teacher_hash, value_text(temperature), value_text(label_weight));
}

ClassifierInit DistillConfig::classifier_init() const { return {.stddev = 0.01F}; }

}  // namespace simclr
