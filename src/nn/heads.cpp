
#include <fmt/format.h>

#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "layers.hpp"
#include "simclr/core/check.hpp"

namespace simclr::nn {

TensorId projection_head(Recorder& recorder, const HeadSpec& spec, const BatchNormContext& context,
                         TensorId h) {
  return projection_head_layers(recorder, spec, context, h, spec.layer_count());
}

TensorId projection_head_layers(Recorder& recorder, const HeadSpec& spec,
                                const BatchNormContext& context, TensorId h, int count) {
  const int layers = spec.layer_count();
  require(count >= 0 && count <= layers, "a head has the layers that are asked for");
  const Recorder::Scope scope(recorder, "projection_head");
  const Recorder::PartScope part(recorder, Part::projection_head);
  const std::int64_t hidden = spec.hidden > 0 ? spec.hidden : recorder.info(h).shape[-1];
  TensorId z = h;
  for (int i = 0; i < count; ++i) {
    const std::string name = fmt::format("projection_head.{}", i);
    const bool last = i + 1 == layers;
    const TensorId y =
        linear(recorder, name + ".linear", z, {.channels = last ? spec.embedding : hidden});
    const Normalized layer = batch_norm(recorder, context, name + ".bn", y, {.with_beta = !last});
    z = last ? apply(recorder, layer) : apply_relu(recorder, layer);
  }
  return z;
}

void contrast(Recorder& recorder, TensorId z, const ContrastOptions& options) {
  const Recorder::Scope scope(recorder, "contrast");
  const ContrastiveLoss& loss = options.loss;
  const Shape shape = recorder.info(z).shape;
  const std::int64_t views = shape[0];
  const bool many = options.world_size > 1;
  const auto gathered = [&](TensorId local) {
    if (!many) return local;
    const TensorInfo info = recorder.info(local);
    const std::int64_t rows = info.shape[0] * options.world_size;
    const Shape all_shape = info.shape.rank() == 1 ? Shape{rows} : Shape{rows, info.shape[1]};
    const TensorId all = recorder.tensor(info.name + "_all", all_shape, info.dtype);
    recorder.emit(AllGather{local, all});
    return all;
  };
  const auto normalized = [&](TensorId rows, const std::string& name) {
    const Shape of_rows = recorder.info(rows).shape;
    const TensorId u = recorder.tensor(name, of_rows, DType::f32);
    const TensorId inverse_norm = recorder.tensor("inverse_norm", {of_rows[0]}, DType::f32);
    recorder.emit(L2Normalize{rows, u, inverse_norm});
    return std::pair(u, inverse_norm);
  };
  const auto if_any = [&](bool exists, const char* name) {
    return exists ? std::optional(recorder.tensor(name, {views}, DType::f32)) : std::nullopt;
  };
  const auto gathered_if = [&](const std::optional<TensorId>& local) {
    return local ? std::optional(gathered(*local)) : std::nullopt;
  };

  std::optional<TensorId> inverse_norm;
  TensorId u = z;
  if (options.normalize) std::tie(u, inverse_norm) = normalized(z, "u");
  const std::optional<TensorId> statistic = if_any(loss.has_statistic(), "statistic");
  const std::optional<TensorId> second = if_any(loss.has_second(), "second");
  const TensorId sums = recorder.named("sums", {loss.sum_count()}, DType::f64, Storage::output);
  const TensorId u_all = gathered(u);
  const std::optional<TensorId> labels_all = gathered_if(options.labels);
  // Unit vectors only are multiplied in 16 bits.
  const DType similarity = options.normalize ? options.similarity : DType::f32;
  recorder.emit(ContrastiveForward{u, u_all, labels_all, statistic, second, sums, loss,
                                   options.rank, similarity});
  if (many) recorder.emit(AllReduce{sums, RankGroup::world, Reduction::sum});
  const TensorId unit_rows = options.normalize ? u_all : normalized(u_all, "unit_rows").first;
  recorder.emit(
      ColumnDeviation{unit_rows, recorder.named("z_std", {1}, DType::f64, Storage::output)});
  const std::optional<TensorId> statistic_all = gathered_if(statistic);
  const std::optional<TensorId> second_all = gathered_if(second);

  recorder.on_backward([=, control = options.control, rank = options.rank](Recorder& r) {
    const TensorId du = inverse_norm ? r.tensor("d.u", shape, DType::f32) : r.contribute(z);
    r.emit(ContrastiveBackward{u, u_all, labels_all, statistic_all, second_all, control, du, loss,
                               rank, similarity});
    if (inverse_norm) r.emit(L2NormalizeBackward{u, *inverse_norm, du, r.contribute(z)});
  });
}

void probe(Recorder& recorder, TensorId h, TensorId labels, std::int64_t classes, int world_size) {
  const Recorder::Scope scope(recorder, "probe");
  const Recorder::PartScope part(recorder, Part::probe);
  const TensorId logits = linear(recorder, "probe", h,
                                 {.channels = classes,
                                  .with_bias = true,
                                  .initial_stddev = 0,
                                  .regularized = false,
                                  .stops_gradient = true});
  const TensorId sums = recorder.named("probe_sums", {4}, DType::f64, Storage::output);
  recorder.emit(SoftmaxCrossEntropy{
      .logits = logits, .labels = labels, .sums = sums, .dlogits = recorder.contribute(logits)});
  if (world_size > 1) recorder.emit(AllReduce{sums, RankGroup::world, Reduction::sum});
}

TensorId classifier_logits(Recorder& recorder, TensorId h, const ClassifierOptions& options) {
  const Recorder::PartScope part(recorder, Part::classifier);
  return linear(recorder, "classifier", h,
                {.channels = options.classes,
                 .with_bias = true,
                 .initial_stddev = options.initial_stddev,
                 .regularized = options.regularized,
                 .bias_regularized = options.bias_regularized});
}

void classifier(Recorder& recorder, TensorId h, const ClassifierOptions& options) {
  const Recorder::Scope scope(recorder, "classifier");
  const std::int64_t batch = recorder.info(h).shape[0];
  const TensorId labels = recorder.named("labels", {batch}, DType::i32, Storage::input);
  const TensorId logits = classifier_logits(recorder, h, options);
  recorder.publish("logits", logits);
  const auto& distillation = options.distillation;
  const TensorId sums = recorder.named("sums", {distillation ? 5 : 4}, DType::f64, Storage::output);
  SoftmaxCrossEntropy loss{.logits = logits,
                           .labels = labels,
                           .sums = sums,
                           .dlogits = recorder.contribute(logits),
                           .gradient_scale = options.gradient_scale};
  if (distillation) {
    loss.teacher = distillation->teacher;
    loss.temperature = distillation->temperature;
    loss.label_weight = distillation->label_weight;
  }
  recorder.emit(loss);
  if (options.world_size > 1) recorder.emit(AllReduce{sums, RankGroup::world, Reduction::sum});
}

}  // namespace simclr::nn

namespace simclr {

int HeadSpec::layer_count() const {
  return kind == HeadKind::none ? 0 : kind == HeadKind::linear ? 1 : layers;
}

}  // namespace simclr
