#include "eval/synthetic_checkpoint.hpp"

#include <span>
#include <string>
#include <vector>

#include "simclr/core/random.hpp"

namespace simclr {
namespace {

NamedTensor slice(const Program& program, const std::string& name, TensorId id,
                  std::span<const float> flat) {
  const TensorInfo& info = program.info(id);
  const auto values = flat.subspan(static_cast<std::size_t>(info.offset),
                                   static_cast<std::size_t>(info.shape.elements()));
  return {name, info.shape, {values.begin(), values.end()}};
}

void draw(std::vector<float>& values, float low, float high, PhiloxStream& stream) {
  for (float& value : values) value = stream.uniform(low, high);
}

}  // namespace

Checkpoint synthetic_checkpoint(const ModelDescription& model, std::uint64_t seed) {
  const Program program = record_features({.encoder = model.encoder,
                                           .head = model.head,
                                           .with_head = true,
                                           .batch = 1,
                                           .image_size = model.image_size});
  PhiloxStream stream(seed, RandomPurpose::kInitialization, 0, 0);
  Checkpoint checkpoint;
  checkpoint.seed = seed;
  checkpoint.model = to_json(model);
  const auto parameters = initial_parameters(program, seed);
  for (const Parameter& parameter : program.parameters) {
    auto tensor = slice(program, parameter.name, parameter.value, parameters);
    const bool shift = tensor.name.ends_with(".bias");
    if (!parameter.regularized)
      draw(tensor.values, shift ? -0.2F : 0.5F, shift ? 0.2F : 1.0F, stream);
    checkpoint.parameters.push_back(std::move(tensor));
  }
  const auto running = initial_running_statistics(program);
  for (const RunningStatistic& statistic : program.running) {
    auto tensor = slice(program, statistic.name, statistic.value, running);
    const bool mean = tensor.name.ends_with("_mean");
    draw(tensor.values, mean ? -0.2F : 0.5F, mean ? 0.2F : 1.5F, stream);
    checkpoint.running.push_back(std::move(tensor));
  }
  return checkpoint;
}

}  // namespace simclr
