#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "records.hpp"
#include "run_state.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/train/trainer.hpp"

namespace simclr {

struct TrainingEnd {
  std::int64_t step = 0;  ///< updates done
  bool stopped_early = false;
  std::string reason;  ///< why it stopped early
  Cause cause = Cause::none;
};

/// Runs the steps of the span: the loader gives each global batch, the trainer computes loss,
/// gradient and update. While a GPU computes a step, the host finishes the previous one and copies
/// the next batch. After starting a step all ranks agree on whether to stop after it (a signal, the
/// deadline) and whether to write a checkpoint. Throws Error if the run has diverged or the ranks'
/// weights differ. Collective.
TrainingEnd train(TrainingConfig& config, const Span& span,
                  const std::optional<std::chrono::system_clock::time_point>& deadline,
                  TrainingLoader& loader, Trainer& trainer, Communicator& world, StateFile& state);

}  // namespace simclr
