#include "simclr/optim/optimizer.hpp"

#include <utility>

#include "simclr/core/check.hpp"

namespace simclr {

TensorId record_control(Recorder& recorder) {
  return recorder.named("control", {4}, DType::f32, Storage::control);
}

namespace {

UpdateRule rule_of(const OptimizerSpec& spec) {
  switch (spec.kind) {
    case OptimizerKind::lars:
      return LarsRule{.momentum = spec.momentum, .weight_decay = spec.weight_decay};
    case OptimizerKind::sgd:
      return SgdRule{
          .momentum = spec.momentum, .weight_decay = spec.weight_decay, .nesterov = spec.nesterov};
    case OptimizerKind::adamw:
      return AdamwRule{
          .beta1 = spec.momentum, .beta2 = spec.beta2, .weight_decay = spec.weight_decay};
  }
  fail("no such optimizer");
}

}  // namespace

void record_update(Recorder& recorder, const OptimizerSpec& spec, TensorId control,
                   std::optional<TensorId> verdict) {
  Update update{.parameters = recorder.flat(Storage::parameters),
                .gradients = recorder.flat(Storage::gradients),
                .momentum = recorder.flat(Storage::momentum),
                .control = control,
                .verdict = verdict,
                .segments = recorder.segments(),
                .rule = rule_of(spec)};
  if (spec.kind == OptimizerKind::adamw) {
    update.second_moment = recorder.flat(Storage::second_moment);
  }
  recorder.emit(std::move(update));
}

}  // namespace simclr
