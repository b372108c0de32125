#pragma once
// Runs one training step of a small network on a backend, from a fixed state and fixed views.

#include <memory>
#include <vector>

#include "simclr/backend/executor.hpp"
#include "simclr/core/random.hpp"
#include "simclr/nn/model.hpp"

namespace simclr::test {

struct StepResult {
  std::vector<double> loss_sums;
  std::vector<float> gradients, parameters, running;
};

/// Makes uniform [0,1) images, the same on every backend and for any number of ranks.
inline std::vector<float> fixed_views(std::int64_t elements, std::uint32_t part = 0) {
  std::vector<float> views(static_cast<std::size_t>(elements));
  PhiloxStream stream(99, RandomPurpose::kCrop, part, 0);
  for (float& v : views) v = stream.uniform();
  return views;
}

/// Makes parameters in which every gamma differs from its initial 0 or 1, so that no gradient is
/// zero.
inline std::vector<float> lively_parameters(const Program& program) {
  std::vector<float> flat = initial_parameters(program, 5);
  PhiloxStream stream(6, RandomPurpose::kInitialization, 0, 0);
  for (const Parameter& parameter : program.parameters) {
    if (parameter.regularized) continue;
    const TensorInfo& info = program.info(parameter.value);
    for (std::int64_t i = 0; i < info.shape.elements(); ++i) {
      flat[static_cast<std::size_t>(info.offset + i)] += stream.uniform(-0.3F, 0.3F) + 0.4F;
    }
  }
  return flat;
}

inline void set_state(Executor& executor, float loss_scale = 1) {
  const Program& program = executor.program();
  executor.set_flat(Storage::parameters, lively_parameters(program));
  executor.set_flat(Storage::running, initial_running_statistics(program));
  const TensorId views = program.at("views");
  const auto pixels = fixed_views(program.info(views).shape.elements());
  executor.upload(views, const_buffer_span(std::span<const float>(pixels)));
  const std::vector<float> control = {0.1F, 1, 1, loss_scale};
  executor.upload(program.at("control"), const_buffer_span(std::span<const float>(control)));
}

inline StepResult run_step(Executor& executor, float loss_scale = 1) {
  set_state(executor, loss_scale);
  executor.run_forward();
  executor.run_backward();
  StepResult result;
  result.gradients = executor.flat(Storage::gradients);
  executor.run_update();
  result.loss_sums.resize(3);
  executor.download(executor.program().at("sums"), buffer_span(std::span(result.loss_sums)));
  result.parameters = executor.flat(Storage::parameters);
  result.running = executor.flat(Storage::running);
  return result;
}

inline PretrainingSpec small_spec() {
  PretrainingSpec spec;
  spec.encoder = {.depth = 18, .width = 0.125, .stem = Stem::cifar};
  spec.head = {.layers = 2, .hidden = 24, .embedding = 20};
  spec.local_samples = 4;
  spec.image_size = 16;
  return spec;
}

}  // namespace simclr::test
