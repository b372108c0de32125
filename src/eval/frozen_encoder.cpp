#include "simclr/eval/frozen_encoder.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"

namespace simclr {
namespace {

constexpr std::string_view kClassifier = "classifier.";

void require_same_checkpoint(const Checkpoint& checkpoint, Communicator& world) {
  const auto checksums = gather_texts(world, checkpoint.checksum);
  if (std::adjacent_find(checksums.begin(), checksums.end(), std::not_equal_to<>()) !=
      checksums.end()) {
    fail("the ranks found different checkpoints: does the run still train? Name a checkpoint file");
  }
}

/// Where a tensor lies in its flat buffer.
std::span<float> slice(std::vector<float>& flat, const TensorInfo& info) {
  return std::span(flat).subspan(static_cast<std::size_t>(info.offset),
                                 static_cast<std::size_t>(info.shape.elements()));
}

void copy_tensor(const std::vector<NamedTensor>& tensors, const std::string& name,
                 const TensorInfo& info, const std::filesystem::path& file,
                 std::vector<float>& flat) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& t) { return t.name == name; });
  if (found == tensors.end()) {
    refuse("{}: holds no '{}': it is of another encoder or head", file.string(), name);
  }
  if (found->shape != info.shape) {
    refuse("{}: '{}' has shape {}, the model it describes has {}", file.string(), name,
           found->shape.text(), info.shape.text());
  }
  std::copy(found->values.begin(), found->values.end(), slice(flat, info).begin());
}

}  // namespace

FrozenEncoder::FrozenEncoder(const std::filesystem::path& run_or_file, Communicator& world)
    : found_(open_checkpoint(run_or_file)),
      model_(parse_model_description(found_.checkpoint.model, found_.file.path.string())) {
  require_same_checkpoint(found_.checkpoint, world);
  // Optimiser state is of no use here and as large as the weights.
  found_.checkpoint.momentum.clear();
  found_.checkpoint.second_moment.clear();
}

void FrozenEncoder::load_into(Executor& executor) const {
  const Program& program = executor.program();
  std::vector<float> parameters(static_cast<std::size_t>(program.parameter_elements));
  for (const Parameter& parameter : program.parameters) {
    if (parameter.name.starts_with(kClassifier)) continue;
    copy_tensor(found_.checkpoint.parameters, parameter.name, program.info(parameter.value), file(),
                parameters);
  }
  executor.set_flat(Storage::parameters, parameters);
  std::vector<float> running(static_cast<std::size_t>(program.running_elements));
  for (const RunningStatistic& statistic : program.running) {
    copy_tensor(found_.checkpoint.running, statistic.name, program.info(statistic.value), file(),
                running);
  }
  executor.set_flat(Storage::running, running);
}

std::string encoder_hash(const Executor& executor) {
  const Program& program = executor.program();
  std::vector<float> parameters = executor.flat(Storage::parameters);
  std::vector<float> running = executor.flat(Storage::running);
  std::vector<float> encoder;
  for (const Parameter& parameter : program.parameters) {
    if (parameter.name.starts_with(kClassifier)) continue;
    const auto values = slice(parameters, program.info(parameter.value));
    encoder.insert(encoder.end(), values.begin(), values.end());
  }
  for (const RunningStatistic& statistic : program.running) {
    const auto values = slice(running, program.info(statistic.value));
    encoder.insert(encoder.end(), values.begin(), values.end());
  }
  return to_hex(hash64(std::as_bytes(std::span(encoder))));
}

EvaluationLoaderConfig evaluation_images(const ModelDescription& model, DType activations,
                                         std::int64_t batch_size, int threads,
                                         const Communicator& world) {
  return {.image_size = static_cast<int>(model.image_size),
          .mean = model.mean,
          .std = model.std,
          .image_type = activations,
          .batch_size = batch_size,
          .rank = world.rank(),
          .world_size = world.size(),
          .threads = threads};
}

}  // namespace simclr
