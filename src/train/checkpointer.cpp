#include "checkpointer.hpp"

#include <algorithm>

#include "run_directory.hpp"
#include "simclr/core/log.hpp"
#include "weights_check.hpp"

namespace simclr {

Checkpointer::Checkpointer(TrainingConfig& config, std::int64_t steps_per_epoch,
                           Communicator& world)
    : config_(config),
      directory_(config.run_dir / "checkpoints"),
      steps_per_epoch_(steps_per_epoch),
      world_(world) {}

bool Checkpointer::pinned(std::int64_t step) const {
  const auto& steps = config_.checkpoint_steps;
  return std::find(steps.begin(), steps.end(), step) != steps.end();
}

bool Checkpointer::due_at(std::int64_t step) const {
  const std::int64_t interval = config_.checkpoint_every_epochs * steps_per_epoch_;
  return pinned(step) || (interval > 0 && step > 0 && step % interval == 0);
}

bool Checkpointer::due_by_time() const {
  if (!(config_.checkpoint_every_minutes > 0)) return false;
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - last_time_;
  return passed.count() > config_.checkpoint_every_minutes * 60;
}

std::optional<std::int64_t> Checkpointer::fall_back_to(std::int64_t healthy_until) const {
  set_aside_after(directory_, healthy_until, "was written when the run may already have diverged");
  const std::vector<CheckpointFile> left = list_checkpoints(directory_);
  return left.empty() ? std::nullopt : std::optional(left.back().step);
}

/// Keeps the newest checkpoint up to healthy_until and the oldest one after it: when healthy_until
/// has passed the latter, it replaces the former, so there is always one to fall back to.
void Checkpointer::prune(std::int64_t healthy_until) const {
  std::vector<std::int64_t> spared;
  if (config_.divergence_steps > 0) {
    const std::vector<CheckpointFile> files = list_checkpoints(directory_);
    const auto next = std::ranges::find_if(
        files, [&](const CheckpointFile& file) { return file.step > healthy_until; });
    if (next != files.begin()) spared.push_back(std::prev(next)->step);
    if (next != files.end()) spared.push_back(next->step);
  }
  prune_checkpoints(
      directory_, config_.keep, [&](std::int64_t step) { return pinned(step); }, spared);
}

void Checkpointer::write(const Trainer& trainer, std::int64_t step, std::int64_t healthy_until) {
  if (std::exchange(last_written_, step) == step) return;
  require_equal_weights(trainer.executor(), step, world_);
  on_root(world_, [&] {
    Checkpoint checkpoint = trainer.state();
    checkpoint.step = step;
    checkpoint.epoch = step / steps_per_epoch_;
    checkpoint.seed = config_.seed;
    checkpoint.configuration = configuration_text(config_, RunDirectoryOption::omitted);
    checkpoint.model = to_json(config_.model());
    const std::filesystem::path file = checkpoint_path(directory_, step);
    write_checkpoint(file, checkpoint);
    prune(healthy_until);
    log::info("checkpoint {}", file.string());
  });
  last_time_ = std::chrono::steady_clock::now();
}

}  // namespace simclr
