#pragma once

#include <memory>

#include "device.hpp"
#include "simclr/backend/input_stage.hpp"

namespace simclr::cuda {

/// Batches are copied on the copy lane while a step runs, and rendered on the compute lane.
std::unique_ptr<InputStage> make_input_stage(const InputStageSpec& spec, Device& device);

}  // namespace simclr::cuda
