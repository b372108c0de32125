#pragma once

#include <memory>
#include <vector>

#include "device.hpp"
#include "simclr/backend/input_stage.hpp"

namespace simclr::cuda {

/// Copies each batch to the device on the copy lane, while a step runs. Throws OutOfDeviceMemory.
std::unique_ptr<InputStage> make_input_stage(std::vector<InputTensor> inputs, Device& device);

}  // namespace simclr::cuda
