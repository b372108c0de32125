#include "simclr/optim/optimizer.hpp"

namespace simclr {

TensorId record_control(Recorder& recorder) {
  return recorder.named("control", {4}, DType::f32, Storage::control);
}

void record_update(Recorder& recorder, const OptimizerSpec& spec, TensorId control,
                   std::optional<TensorId> verdict) {
  const TensorId parameters = recorder.flat(Storage::parameters);
  const TensorId gradients = recorder.flat(Storage::gradients);
  const TensorId momentum = recorder.flat(Storage::momentum);
  switch (spec.kind) {
    case OptimizerKind::lars:
      recorder.emit(LarsUpdate{.parameters = parameters,
                               .gradients = gradients,
                               .momentum = momentum,
                               .control = control,
                               .verdict = verdict,
                               .segments = recorder.segments(),
                               .momentum_factor = spec.momentum,
                               .weight_decay = spec.weight_decay});
      break;
    case OptimizerKind::sgd:
      recorder.emit(SgdUpdate{.parameters = parameters,
                              .gradients = gradients,
                              .momentum = momentum,
                              .control = control,
                              .verdict = verdict,
                              .segments = recorder.segments(),
                              .momentum_factor = spec.momentum,
                              .weight_decay = spec.weight_decay,
                              .nesterov = spec.nesterov});
      break;
    case OptimizerKind::adamw:
      recorder.emit(AdamwUpdate{.parameters = parameters,
                                .gradients = gradients,
                                .momentum = momentum,
                                .second_moment = recorder.flat(Storage::second_moment),
                                .control = control,
                                .verdict = verdict,
                                .segments = recorder.segments(),
                                .beta1 = spec.momentum,
                                .beta2 = spec.beta2,
                                .weight_decay = spec.weight_decay});
      break;
  }
}

}  // namespace simclr
