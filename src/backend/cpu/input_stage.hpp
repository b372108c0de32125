#pragma once

#include <memory>

#include "simclr/backend/input_stage.hpp"

namespace simclr::cpu {

std::unique_ptr<InputStage> make_input_stage(const InputStageSpec& spec);

}  // namespace simclr::cpu
