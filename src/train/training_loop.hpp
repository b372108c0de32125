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
  std::string reason;  ///< of that
  Cause cause = Cause::none;
};

/// Runs the steps of the span: for each global batch, its augmented views (the loader), then loss,
/// gradient and update (the trainer). While a GPU computes a step, the host takes the result of the
/// step before and brings the next batch over. After each start of a step all ranks agree on
/// whether to stop behind it (a signal, the deadline) and whether to write a checkpoint; a run that
/// has diverged, or whose ranks differ, throws Error. Collective.
TrainingEnd train(TrainingConfig& config, const Span& span,
                  const std::optional<std::chrono::system_clock::time_point>& deadline,
                  TrainingLoader& loader, Trainer& trainer, Communicator& world, StateFile& state);

}  // namespace simclr
