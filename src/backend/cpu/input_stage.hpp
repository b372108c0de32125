#pragma once

#include <memory>
#include <vector>

#include "simclr/backend/input_stage.hpp"

namespace simclr::cpu {

std::unique_ptr<InputStage> make_input_stage(std::vector<InputTensor> inputs);

}  // namespace simclr::cpu
