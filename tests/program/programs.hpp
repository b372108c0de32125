#pragma once
// Real programs for tests of what is derived from them.

#include "simclr/nn/model.hpp"
#include "simclr/program/planner.hpp"

namespace simclr::test {

struct ProgramCase {
  int depth = 18;
  Stem stem = Stem::cifar;
  int world_size = 1;
  bool recompute = false;
  DType activations = DType::f32;
};

inline Program record(const ProgramCase& c, std::int64_t local_samples = 2,
                      std::int64_t image_size = 32) {
  PretrainingSpec spec;
  spec.encoder = {.depth = c.depth, .width = 0.25, .stem = c.stem};
  spec.local_samples = local_samples;
  spec.image_size = image_size;
  spec.world_size = c.world_size;
  spec.batch_norm.ranks_per_group = c.world_size;
  spec.recompute_blocks = c.recompute;
  spec.activations = c.activations;
  spec.bucket_bytes = 1 << 16;
  return record_pretraining(spec);
}

inline std::size_t packed_bytes(const TensorInfo& info) {
  return static_cast<std::size_t>(info.shape.elements()) * size_in_bytes(info.dtype);
}

}  // namespace simclr::test
