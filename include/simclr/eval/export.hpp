#pragma once

#include <string>

#include "simclr/io/checkpoint.hpp"
#include "simclr/io/safetensors.hpp"

namespace simclr {

/// Converts a checkpoint's encoder and head for other programs: torchvision's names, filters
/// reordered from (K,R,S,C) to OIHW, running statistics beside the weights. Metadata: format
/// version, step, encoder, preprocessing. `origin` names the checkpoint in errors.
SafeTensors export_checkpoint(const Checkpoint& checkpoint, const std::string& origin);

}  // namespace simclr
