#pragma once
// Convolutions, linear layers and pools. Each function emits forward ops, registers backward ops
// and returns the output tensor; the caller gives tensors their public names.

#include <string>

#include "simclr/program/recorder.hpp"

namespace simclr::nn {

struct ConvOptions {
  std::int64_t channels = 0;  ///< K, output channels
  ConvGeometry geometry;
  bool input_gradient = true;  ///< false if x is the image
};
/// Returns y (V,H',W',K) of x (V,H,W,C). Parameter: `name`.weight (K,R,S,C); no bias.
TensorId conv(Recorder& recorder, const std::string& name, TensorId x, const ConvOptions& options);

struct LinearOptions {
  std::int64_t channels = 0;  ///< K
  bool with_bias = false;
  float initial_stddev = 0.01F;  ///< 0: zeros
  bool input_gradient = true;
};
/// Returns y (V,K) of x (V,C), f32. Parameters: `name`.weight (K,C) [and `name`.bias (K)].
TensorId linear(Recorder& recorder, const std::string& name, TensorId x,
                const LinearOptions& options);

/// Returns x (V,H,W,3), packed from the host's views, which have the activation dtype.
TensorId pack_input(Recorder& recorder, TensorId views);
TensorId max_pool(Recorder& recorder, TensorId x, ConvGeometry geometry);
/// Returns h f32 (V,C) in `storage`: the arena, or output for features.
TensorId global_avg_pool(Recorder& recorder, TensorId z, Storage storage);

}  // namespace simclr::nn
