#include <optional>

#include "layers.hpp"
#include "simclr/core/check.hpp"
#include "simclr/nn/model.hpp"
#include "simclr/program/planner.hpp"

namespace simclr {
namespace {

/// Names the input "views" (rows,H,W,3) and returns it packed, as the encoder takes it.
TensorId record_views(Recorder& recorder, std::int64_t rows, std::int64_t side, DType type) {
  return nn::pack_input(recorder,
                        recorder.named("views", {rows, side, side, 3}, type, Storage::input));
}

/// Names and returns what encoder and projection head make of two views of each sample.
TensorId record_embeddings(Recorder& recorder, const PretrainingSpec& spec,
                           const nn::BatchNormContext& context) {
  recorder.set_views_per_sample(2);
  const TensorId x =
      record_views(recorder, 2 * spec.local_samples, spec.image_size, spec.activations);
  const TensorId h =
      nn::resnet(recorder, spec.encoder, context, x, {.recompute_blocks = spec.recompute_blocks});
  recorder.publish("h", h);
  const TensorId z = nn::projection_head(recorder, spec.head, context, h);
  recorder.publish("z", z);
  return z;
}

/// Names and returns the input "labels" (rows).
TensorId record_labels(Recorder& recorder, std::int64_t rows) {
  return recorder.named("labels", {rows}, DType::i32, Storage::input);
}

nn::ContrastOptions contrast_options(const PretrainingSpec& spec, std::optional<TensorId> labels) {
  return {.loss = spec.loss,
          .normalize = spec.normalize,
          .labels = spec.loss.kind == LossKind::supcon ? labels : std::nullopt,
          .rank = spec.rank,
          .world_size = spec.world_size,
          .similarity = spec.activations};
}

}  // namespace

Program finish_training(Recorder& recorder, const TrainingUpdate& update) {
  Program program = recorder.finish([&](Recorder& r) {
    const TensorId verdict = r.named("verdict", {2}, DType::i32, Storage::output);
    r.emit(CheckFinite{r.named_tensor("sums"), r.flat(Storage::gradients), verdict});
    const TensorId control = r.named_tensor("control");
    record_update(r, update.optimizer, control, verdict);
    if (update.with_probe) {
      record_probe_update(r, control, verdict, r.named_tensor("probe_sums"));
    }
    if (update.merge_running) {
      r.emit(AllReduce{r.flat(Storage::running), RankGroup::world, Reduction::mean});
    }
  });
  if (update.world_size > 1) insert_gradient_buckets(program, update.bucket_bytes);
  return program;
}

Program record_pretraining(const PretrainingSpec& spec) {
  Recorder recorder;
  const TensorId z = record_embeddings(
      recorder, spec, {.spec = spec.batch_norm, .local_samples = spec.local_samples});
  const bool with_probe = spec.probe_classes > 0;
  const TensorId control = record_control(recorder, with_probe ? 2 : 1);
  std::optional<TensorId> labels;
  if (with_probe || spec.loss.kind == LossKind::supcon) {
    labels = record_labels(recorder, spec.local_samples);
  }
  nn::ContrastOptions options = contrast_options(spec, labels);
  options.control = control;
  nn::contrast(recorder, z, options);
  if (with_probe) {
    nn::probe(recorder, recorder.named_tensor("h"), *labels, spec.probe_classes, spec.world_size);
  }
  return finish_training(recorder,
                         {.with_probe = with_probe,
                          .optimizer = spec.optimizer,
                          .world_size = spec.world_size,
                          .merge_running = spec.batch_norm.ranks_per_group < spec.world_size,
                          .bucket_bytes = spec.bucket_bytes});
}

Program record_held_out_loss(const PretrainingSpec& spec) {
  Recorder recorder;
  const Recorder::Frozen frozen(recorder);
  const TensorId z = record_embeddings(
      recorder, spec,
      {.spec = spec.batch_norm, .local_samples = spec.local_samples, .training = false});
  std::optional<TensorId> labels;
  if (spec.loss.kind == LossKind::supcon) labels = record_labels(recorder, spec.local_samples);
  nn::contrast(recorder, z, contrast_options(spec, labels));
  return recorder.finish();
}

Program record_features(const FeatureSpec& spec) {
  Recorder recorder;
  const Recorder::Frozen frozen(recorder);
  const nn::BatchNormContext context{.spec = {}, .local_samples = spec.batch, .training = false};
  const TensorId x = record_views(recorder, spec.batch, spec.image_size, spec.activations);
  const FeatureLayer& layer = spec.layer;
  const bool reaches_h = layer.groups == kEncoderGroups;
  require(reaches_h || layer.head_layers == 0, "the head follows the last group");
  require(!spec.with_head || (reaches_h && layer.head_layers == 0), "z goes with the layer h");
  const TensorId pooled = nn::resnet(recorder, spec.encoder, context, x,
                                     {.groups = layer.groups, .feature_storage = Storage::output});
  if (reaches_h) recorder.publish("h", pooled);
  recorder.publish("features", nn::projection_head_layers(recorder, spec.head, context, pooled,
                                                          layer.head_layers));
  if (spec.with_head) {
    recorder.publish("z", nn::projection_head(recorder, spec.head, context, pooled));
  }
  return recorder.finish();
}

namespace {

/// The teacher's logits on packed images x.
nn::DistillationOptions record_teacher(Recorder& recorder, const TeacherSpec& teacher,
                                       std::int64_t classes, TensorId x) {
  const Recorder::Scope scope(recorder, "teacher");
  const Recorder::TeacherScope frozen(recorder);
  const nn::BatchNormContext inference{.training = false};
  const TensorId h = nn::resnet(recorder, teacher.encoder, inference, x);
  const TensorId features =
      nn::projection_head_layers(recorder, teacher.head, inference, h, teacher.head_layers);
  return {.teacher = nn::classifier_logits(recorder, features, {.classes = classes}),
          .temperature = teacher.temperature,
          .label_weight = teacher.label_weight};
}

}  // namespace

Program record_classifier(const ClassifierSpec& spec) {
  Recorder recorder;
  const bool all_frozen = spec.frozen_groups >= kEncoderGroups;
  const nn::BatchNormContext context{
      .spec = spec.batch_norm, .local_samples = spec.batch, .training = !all_frozen};
  const TensorId x = record_views(recorder, spec.batch, spec.image_size, spec.activations);
  std::optional<nn::DistillationOptions> distillation;
  if (spec.teacher) distillation = record_teacher(recorder, *spec.teacher, spec.classes, x);
  const TensorId h =
      nn::resnet(recorder, spec.encoder, context, x,
                 {.recompute_blocks = spec.recompute_blocks, .frozen_groups = spec.frozen_groups});
  recorder.publish("h", h);
  TensorId features = h;
  {
    std::optional<Recorder::Frozen> frozen;
    if (all_frozen) frozen.emplace(recorder);
    features = nn::projection_head_layers(recorder, spec.head, context, h, spec.head_layers);
  }
  nn::classifier(recorder, features,
                 {.classes = spec.classes,
                  .gradient_scale = 1.0F / static_cast<float>(spec.global_batch),
                  .world_size = spec.world_size,
                  .initial_stddev = spec.init.stddev,
                  .regularized = spec.init.regularized,
                  .bias_regularized = spec.init.bias_regularized,
                  .distillation = distillation});
  record_control(recorder);
  return finish_training(
      recorder, {.optimizer = spec.optimizer,
                 .world_size = spec.world_size,
                 .merge_running = !all_frozen && spec.batch_norm.ranks_per_group < spec.world_size,
                 .bucket_bytes = spec.bucket_bytes});
}

Program record_linear_classifier(std::int64_t batch, std::int64_t channels, std::int64_t classes) {
  Recorder recorder;
  const TensorId h = recorder.named("h", {batch, channels}, DType::f32, Storage::input);
  nn::classifier(recorder, h, {.classes = classes});
  return recorder.finish();
}

}  // namespace simclr
