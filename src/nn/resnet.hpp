#pragma once

#include "batch_norm.hpp"
#include "simclr/nn/model.hpp"

namespace simclr::nn {

struct EncoderOptions {
  bool recompute_blocks = false;
  Storage feature_storage = Storage::arena;
};

/// Records torchvision's ResNet v1.5 without its classifier; returns h f32 (V,C) of the packed
/// images x (V,H,W,3). Parameters have torchvision's names.
TensorId resnet(Recorder& recorder, const EncoderSpec& spec, const BatchNormContext& context,
                TensorId x, const EncoderOptions& options = {});

}  // namespace simclr::nn
