#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "run_lock.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/train/trainer.hpp"
#include "simclr/train/training_config.hpp"

namespace simclr {

/// Compares hashes of parameters, optimizer state and running statistics over the ranks: they are
/// equal unless memory, network or program is faulty. If they differ, throws Error
/// (Cause::desynchronized) on every rank, naming the ranks that differ from the majority.
/// Collective.
void require_equal_weights(const Executor& executor, std::int64_t step, Communicator& world);

/// Knows when a checkpoint is due, writes it from rank 0 and deletes old ones.
class Checkpointer {
 public:
  Checkpointer(TrainingConfig& config, std::int64_t steps_per_epoch, Communicator& world,
               const RunFence& fence);

  /// Whether the options that count steps and epochs ask for a checkpoint after `step` updates. All
  /// ranks get the same answer.
  [[nodiscard]] bool due_at(std::int64_t step) const;
  /// Whether --checkpoint-every-minutes have passed, by this rank's clock.
  [[nodiscard]] bool due_by_time() const;

  /// Collective. Writes a checkpoint of `step`, unless this process has already written one, and
  /// deletes old ones. Beyond the --keep newest it keeps up to two (none if --divergence-steps is
  /// 0): the newest one up to `healthy_until`, to fall back to if the run turns out to have
  /// diverged, and the one that will replace it later. Every rank throws Error, and older
  /// checkpoints stay untouched, if the ranks' weights differ, the file cannot be written (full
  /// disk) or another start owns the run directory.
  void write(const Trainer& trainer, std::int64_t step, std::int64_t healthy_until);

  /// Renames checkpoints of steps after `healthy_until`, so that no start finds them; call it on
  /// rank 0. Returns the newest step that is left.
  [[nodiscard]] std::optional<std::int64_t> fall_back_to(std::int64_t healthy_until) const;

 private:
  [[nodiscard]] bool pinned(std::int64_t step) const;
  void prune(std::int64_t healthy_until) const;

  TrainingConfig& config_;
  std::filesystem::path directory_;
  std::int64_t steps_per_epoch_;
  Communicator& world_;
  const RunFence& fence_;
  std::int64_t last_written_ = -1;
  std::chrono::steady_clock::time_point last_time_ = std::chrono::steady_clock::now();
};

}  // namespace simclr
