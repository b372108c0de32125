#include "simclr/eval/frozen_encoder.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/train/training_state.hpp"

namespace simclr {
namespace {

const std::vector<Part> kLoadedParts{Part::encoder, Part::projection_head};

void require_same_checkpoint(const Checkpoint& checkpoint, Communicator& world) {
  const auto checksums = gather_texts(world, checkpoint.checksum);
  if (std::adjacent_find(checksums.begin(), checksums.end(), std::not_equal_to<>()) !=
      checksums.end()) {
    fail(
        "the ranks found different newest checkpoints, as while the run is still training; give a "
        "checkpoint file as --checkpoint");
  }
}

}  // namespace

FrozenEncoder::FrozenEncoder(const std::filesystem::path& run_or_file, Communicator& world)
    : found_(open_checkpoint(run_or_file)),
      model_(parse_model_description(found_.checkpoint.model, found_.file.path.string())) {
  require_same_checkpoint(found_.checkpoint, world);
  const Program described = record_features({.encoder = model_.encoder,
                                             .head = model_.head,
                                             .with_head = true,
                                             .batch = 1,
                                             .image_size = model_.image_size});
  require_parts(described, kLoadedParts, found_.checkpoint, file().string());
  // Free the optimizer state: it is as large as the weights, and no evaluation reads it.
  found_.checkpoint.momentum.clear();
  found_.checkpoint.second_moment.clear();
}

void FrozenEncoder::load_into(Executor& executor) const {
  load_parts(executor, kLoadedParts, found_.checkpoint, file().string());
}

std::string encoder_hash(const Executor& executor) {
  const Program& program = executor.program();
  std::vector<float> encoder;
  const auto add = [&](const auto& tensors, Storage storage) {
    const std::vector<float> flat = executor.flat(storage);
    for (const auto& tensor : tensors) {
      if (tensor.part != Part::encoder) continue;
      const TensorInfo& info = program.info(tensor.value);
      const auto first = flat.begin() + info.offset;
      encoder.insert(encoder.end(), first, first + info.shape.elements());
    }
  };
  add(program.parameters, Storage::parameters);
  add(program.running, Storage::running);
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
