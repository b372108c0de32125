
#include <fmt/format.h>

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

void nt_xent(Recorder& recorder, TensorId z, const NtXentOptions& options) {
  const Recorder::Scope scope(recorder, "nt_xent");
  const Shape shape = recorder.info(z).shape;
  const std::int64_t views = shape[0];
  const bool many = options.world_size > 1;
  const auto gathered = [&](TensorId local, const Shape& all_shape) {
    if (!many) return local;
    const TensorId all = recorder.tensor(recorder.info(local).name + "_all", all_shape, DType::f32);
    recorder.emit(AllGather{local, all});
    return all;
  };

  const TensorId u = recorder.tensor("u", shape, DType::f32);
  const TensorId inverse_norm = recorder.tensor("inverse_norm", {views}, DType::f32);
  const TensorId lse = recorder.tensor("lse", {views}, DType::f32);
  const TensorId sums = recorder.named("sums", {3}, DType::f64, Storage::output);
  recorder.emit(L2Normalize{z, u, inverse_norm});
  const TensorId u_all = gathered(u, {views * options.world_size, shape[1]});
  recorder.emit(
      NtXentForward{u, u_all, lse, sums, options.temperature, options.rank, options.similarity});
  if (many) recorder.emit(AllReduce{sums, RankGroup::world, Reduction::sum});
  recorder.emit(ColumnDeviation{u_all, recorder.named("z_std", {1}, DType::f64, Storage::output)});
  const TensorId lse_all = gathered(lse, {views * options.world_size});

  recorder.on_backward([=](Recorder& r) {
    const TensorId du = r.tensor("d.u", shape, DType::f32);
    r.emit(NtXentBackward{u, u_all, lse, lse_all, options.control, du, options.temperature,
                          options.rank, options.similarity});
    r.emit(L2NormalizeBackward{u, inverse_norm, du, r.contribute(z)});
  });
}

void probe(Recorder& recorder, TensorId h, std::int64_t classes, std::int64_t samples,
           int world_size) {
  const Recorder::Scope scope(recorder, "probe");
  const Recorder::PartScope part(recorder, Part::probe);
  const TensorId labels = recorder.named("labels", {samples}, DType::i32, Storage::input);
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

void classifier(Recorder& recorder, TensorId h, const ClassifierOptions& options) {
  const Recorder::Scope scope(recorder, "classifier");
  const Recorder::PartScope part(recorder, Part::classifier);
  const std::int64_t batch = recorder.info(h).shape[0];
  const TensorId labels = recorder.named("labels", {batch}, DType::i32, Storage::input);
  const TensorId logits = linear(recorder, "classifier", h,
                                 {.channels = options.classes,
                                  .with_bias = true,
                                  .initial_stddev = options.initial_stddev,
                                  .regularized = options.regularized,
                                  .bias_regularized = options.bias_regularized});
  recorder.publish("logits", logits);
  const TensorId sums = recorder.named("sums", {4}, DType::f64, Storage::output);
  recorder.emit(SoftmaxCrossEntropy{.logits = logits,
                                    .labels = labels,
                                    .sums = sums,
                                    .dlogits = recorder.contribute(logits),
                                    .gradient_scale = options.gradient_scale});
  if (options.world_size > 1) recorder.emit(AllReduce{sums, RankGroup::world, Reduction::sum});
}

}  // namespace simclr::nn

namespace simclr {

int HeadSpec::layer_count() const {
  return kind == HeadKind::none ? 0 : kind == HeadKind::linear ? 1 : layers;
}

}  // namespace simclr
