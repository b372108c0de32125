#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/train/trainer.hpp"
#include "simclr/train/training_config.hpp"

namespace simclr {

/// Knows when a checkpoint is due, writes it from rank 0 and deletes old ones.
class Checkpointer {
 public:
  Checkpointer(TrainingConfig& config, std::int64_t steps_per_epoch, Communicator& world);

  /// After `step` updates, from the options that count steps and epochs: the same on all ranks.
  [[nodiscard]] bool due_at(std::int64_t step) const;
  /// Whether --checkpoint-every-minutes have passed, by this rank's clock.
  [[nodiscard]] bool due_by_time() const;

  /// Collective. A step that has been written by this process is not written again. Up to two older
  /// ones are kept beyond --keep (unless --divergence-steps is 0): the newest up to
  /// `healthy_until`, for a run that turns out to have diverged, and the one that will take its
  /// place. When the ranks' weights differ, or the checkpoint cannot be written (full disk), every
  /// rank throws Error, and the older ones are as they were.
  void write(const Trainer& trainer, std::int64_t step, std::int64_t healthy_until);

  /// On rank 0: checkpoints of later steps are no longer this run's. The newest step that is left.
  [[nodiscard]] std::optional<std::int64_t> fall_back_to(std::int64_t healthy_until) const;

 private:
  [[nodiscard]] bool pinned(std::int64_t step) const;
  void prune(std::int64_t healthy_until) const;

  TrainingConfig& config_;
  std::filesystem::path directory_;
  std::int64_t steps_per_epoch_;
  Communicator& world_;
  std::int64_t last_written_ = -1;
  std::chrono::steady_clock::time_point last_time_ = std::chrono::steady_clock::now();
};

}  // namespace simclr
