#pragma once

#include <memory>

#include "device.hpp"
#include "simclr/backend/input_stage.hpp"

namespace simclr::cuda {

/// An input stage that renders views on the device (spec.rendering), from images that come with
/// each batch, or from a data set that is kept in device memory (spec.resident). Throws
/// RefusedError when the data set does not fit.
std::unique_ptr<InputStage> make_rendering_stage(const InputStageSpec& spec, Device& device);

}  // namespace simclr::cuda
