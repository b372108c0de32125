#pragma once

#include <cstdint>
#include <optional>

#include "records.hpp"
#include "run_state.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/train/trainer.hpp"
#include "stop_signal.hpp"

namespace simclr {

struct TrainingEnd {
  std::int64_t step = 0;     ///< updates done
  std::optional<Stop> stop;  ///< why it stopped early
};

/// Runs the steps of the span: the loader gives each global batch, the trainer computes loss,
/// gradient and update. While a GPU computes a step, the host finishes the previous one and copies
/// the next batch. After starting a step all ranks agree on whether to stop after it (a signal, the
/// deadline) and whether to write a checkpoint. Throws Error if the run has diverged or the ranks'
/// weights differ. Collective.
TrainingEnd train(TrainingConfig& config, const Span& span, const Deadline& deadline,
                  TrainingLoader& loader, Trainer& trainer, Communicator& world, StateFile& state);

}  // namespace simclr
