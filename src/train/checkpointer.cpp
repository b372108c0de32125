#include "checkpointer.hpp"

#include <algorithm>

#include "run_directory.hpp"
#include "simclr/core/log.hpp"

namespace simclr {

Checkpointer::Checkpointer(const PretrainConfig& config, std::int64_t steps_per_epoch,
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

void Checkpointer::write(const Trainer& trainer, std::int64_t step) {
  if (std::exchange(last_written_, step) == step) return;
  on_root(world_, [&] {
    Checkpoint checkpoint = trainer.state();
    checkpoint.step = step;
    checkpoint.epoch = step / steps_per_epoch_;
    checkpoint.seed = config_.seed;
    checkpoint.configuration = configuration_text(config_, false);
    checkpoint.model = to_json(config_.model());
    const std::filesystem::path file = checkpoint_path(directory_, step);
    write_checkpoint(file, checkpoint);
    prune_checkpoints(directory_, config_.keep, [&](std::int64_t s) { return pinned(s); });
    log::info("checkpoint {}", file.string());
  });
  last_time_ = std::chrono::steady_clock::now();
}

}  // namespace simclr
