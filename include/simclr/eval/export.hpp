#pragma once

#include <string>

#include "simclr/io/checkpoint.hpp"
#include "simclr/io/safetensors.hpp"

namespace simclr {

/// A checkpoint's encoder and head as other programs know them: torchvision's names, filters
/// (K,R,S,C) turned into OIHW, running statistics beside the weights. Metadata: format version,
/// step, encoder, preprocessing. `origin` names the checkpoint in errors.
SafeTensors export_checkpoint(const Checkpoint& checkpoint, const std::string& origin);

}  // namespace simclr
