#include "checkpointer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "run_directory.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/system.hpp"

namespace simclr {
namespace {

/// A hash for each flat buffer; 0 where the program has none, or none that outlives a step.
using Hashes = std::array<std::uint64_t, kFlatBuffers.size()>;

Hashes hashes_of(const Executor& executor) {
  Hashes hashes{};
  for (std::size_t i = 0; i < kFlatBuffers.size(); ++i) {
    const auto& [storage, name, slice, is_state] = kFlatBuffers[i];
    if (is_state && executor.holds(storage)) hashes[i] = executor.hash(storage);
  }
  return hashes;
}

/// The hashes that more than half of the ranks hold; null if there is no majority.
const Hashes* majority(std::span<const Hashes> all) {
  const auto found = std::ranges::find_if(all, [&](const Hashes& candidate) {
    return 2 * std::ranges::count(all, candidate) > std::ssize(all);
  });
  return found == all.end() ? nullptr : &*found;
}

std::string differing_parts(const Hashes& a, const Hashes& b) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kFlatBuffers.size(); ++i) {
    if (a[i] != b[i]) names.emplace_back(kFlatBuffers[i].name);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

/// "rank 3 on n1 (parameters, momentum) from the others"
std::string describe_difference(std::span<const Hashes> all,
                                const std::vector<std::string>& hosts) {
  const Hashes* right = majority(all);
  std::vector<std::string> ranks;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (right != nullptr && all[rank] == *right) continue;
    const std::string parts =
        right != nullptr ? fmt::format(" ({})", differing_parts(all[rank], *right)) : "";
    ranks.push_back(fmt::format("rank {} on {}{}", rank, hosts[rank], parts));
  }
  return fmt::format("{} from {}", fmt::join(ranks, ", "),
                     right != nullptr ? "all others" : "one another");
}

}  // namespace

void require_equal_weights(const Executor& executor, std::int64_t step, Communicator& world) {
  const Hashes own = hashes_of(executor);
  std::vector<Hashes> all(static_cast<std::size_t>(world.size()));
  world.all_gather({own.data(), sizeof(own), DType::u8},
                   {all.data(), all.size() * sizeof(own), DType::u8});
  if (std::ranges::all_of(all, [&](const Hashes& h) { return h == all.front(); })) return;
  const std::vector<std::string> hosts = gather_texts(world, host_name());
  fail_for(Cause::desynchronized,
           "step {}: the ranks no longer hold the same weights; these differ: {}; look for faulty "
           "memory or network there, then start again: the run resumes from its newest checkpoint, "
           "which does not hold this state",
           step, describe_difference(all, hosts));
}

Checkpointer::Checkpointer(TrainingConfig& config, std::int64_t steps_per_epoch,
                           Communicator& world, const RunFence& fence)
    : config_(config),
      directory_(config.run_dir / "checkpoints"),
      steps_per_epoch_(steps_per_epoch),
      world_(world),
      fence_(fence) {}

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
  fence_.require_held();
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
    fence_.require_held();
    Checkpoint checkpoint = trainer.state();
    checkpoint.step = step;
    checkpoint.epoch = step / steps_per_epoch_;
    checkpoint.seed = config_.seed;
    checkpoint.configuration = configuration_text(config_, RunDirectoryOption::omitted);
    checkpoint.model = to_json(config_.model());
    checkpoint.data = to_text(config_.fingerprint);
    const std::filesystem::path file = checkpoint_path(directory_, step);
    const auto still_wanted = [this] {
      fence_.require_held();  // again: writing may have taken minutes
      return true;
    };
    write_checkpoint(file, checkpoint, still_wanted, trainer.state_values());
    fence_.require_held();
    prune(healthy_until);
    log::info("checkpoint {}", file.string());
  });
  last_time_ = std::chrono::steady_clock::now();
}

}  // namespace simclr
