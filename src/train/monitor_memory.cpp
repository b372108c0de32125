#include <algorithm>

#include "simclr/io/shard_set.hpp"
#include "simclr/program/planner.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {
namespace {

constexpr double kPreparedBatches = 2;
// Rows of a block of the bank, and of a block of queries, in eval/knn.cpp.
constexpr double kBankBlock = 16384;
constexpr double kQueryBlock = 512;

double program_bytes(const Program& program, const StorageBytes& bytes) {
  const MemoryReport report = report_memory(program, plan_arena(program, bytes), 0);
  return static_cast<double>(report.arena_bytes + report.parameter_bytes + report.input_bytes);
}

MeasuringMemory memory_of_knn(const PretrainConfig& config, std::int64_t samples,
                              std::int64_t queries, int world_size, const StorageBytes& bytes) {
  const EncoderSpec encoder = config.encoder_spec();
  const Program program = record_features({.encoder = encoder,
                                           .head = config.head,
                                           .batch = kMonitorBatch,
                                           .image_size = config.image_size});
  const double images = kPreparedBatches * kMonitorBatch *
                        static_cast<double>(config.image_size * config.image_size * 3);
  const auto channels = static_cast<double>(encoder.feature_channels());
  const auto bank = static_cast<double>(
      config.knn_every_epochs > 0 ? std::min(samples, config.knn_bank.value_or(kDefaultKnnBank))
                                  : 0);
  // Features as they are and of unit length: this rank's part of the bank's, and all queries'.
  const double features = 2 * channels * (bank / world_size + static_cast<double>(queries));
  const double search = std::min(bank, kBankBlock) * (channels + kQueryBlock);
  return {.host = sizeof(float) * (images + features),
          .device = program_bytes(program, bytes) + sizeof(float) * search};
}

MeasuringMemory memory_of_held_out_loss(const PretrainConfig& config, int world_size,
                                        const StorageBytes& bytes) {
  const Program program = record_held_out_loss(config.program_spec(0, world_size));
  const TensorInfo& views = program.info(program.at("views"));
  const double batch =
      static_cast<double>(views.shape.elements()) * static_cast<double>(size_in_bytes(views.dtype));
  return {.host = kPreparedBatches * batch, .device = program_bytes(program, bytes)};
}

}  // namespace

MeasuringMemory PretrainConfig::measuring_memory(std::int64_t samples, int world_size,
                                                 const StorageBytes& bytes) const {
  MeasuringMemory memory;
  if (knn_every_epochs > 0 || probe_every_epochs > 0) {
    const std::int64_t queries = eval_images > 0 ? eval_images : ShardSet(eval_data).info().samples;
    memory = memory_of_knn(*this, samples, queries, world_size, bytes);
  }
  if (eval_loss_every_epochs > 0) {
    const MeasuringMemory of_loss = memory_of_held_out_loss(*this, world_size, bytes);
    memory = {.host = std::max(memory.host, of_loss.host),
              .device = std::max(memory.device, of_loss.device)};
  }
  return memory;
}

}  // namespace simclr
