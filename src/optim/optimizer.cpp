#include "simclr/optim/optimizer.hpp"

namespace simclr {

void record_update(Recorder& recorder, const OptimizerSpec& spec) {
  const TensorId parameters = recorder.flat(Storage::parameters);
  const TensorId gradients = recorder.flat(Storage::gradients);
  const TensorId momentum = recorder.flat(Storage::momentum);
  const TensorId control = recorder.named("control", {4}, DType::f32, Storage::control);
  switch (spec.kind) {
    case OptimizerKind::lars:
      recorder.emit(LarsUpdate{.parameters = parameters,
                               .gradients = gradients,
                               .momentum = momentum,
                               .control = control,
                               .segments = recorder.segments(),
                               .momentum_factor = spec.momentum,
                               .weight_decay = spec.weight_decay});
      break;
    case OptimizerKind::sgd:
      recorder.emit(SgdUpdate{.parameters = parameters,
                              .gradients = gradients,
                              .momentum = momentum,
                              .control = control,
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
                                .segments = recorder.segments(),
                                .beta1 = spec.momentum,
                                .beta2 = spec.beta2,
                                .weight_decay = spec.weight_decay});
      break;
  }
}

}  // namespace simclr
