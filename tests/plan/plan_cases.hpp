#pragma once
// Common to the tests of the plan: a small step, and a machine of round numbers.

#include "simclr/nn/model.hpp"
#include "simclr/plan/machine.hpp"

namespace simclr::test {

/// ResNet-18 of width 1/8 with a two-layer head to D = 32; batch norm over all ranks.
inline Program small_step(int ranks, std::int64_t local_samples = 4) {
  PretrainingSpec spec;
  spec.encoder = {.depth = 18, .width = 0.125, .stem = Stem::cifar};
  spec.head.embedding = 32;
  spec.image_size = 16;
  spec.local_samples = local_samples;
  spec.world_size = ranks;
  spec.batch_norm.ranks_per_group = ranks;
  return record_pretraining(spec);
}

inline Machine round_machine() {
  return {.name = "round numbers",
          .kind = DeviceKind::cuda,
          .devices_per_node = 4,
          .f32_gflops = 1000,
          .memory_gbytes_per_second = 100,
          .device_memory_gb = 10,
          .overlaps_gradients = true,
          .inside = {.start_us = 2, .hop_us = 1, .gbytes_per_second = 10},
          .between = {.start_us = 20, .hop_us = 5, .gbytes_per_second = 1},
          .efficiencies = {{.share = 0.5}}};
}

}  // namespace simclr::test
