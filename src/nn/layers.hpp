#pragma once
// Convolutions, linear layers and pools as recorded functions. Each emits its forward ops,
// registers its backward ops and returns its output; who records the program publishes names.

#include <string>

#include "simclr/program/recorder.hpp"

namespace simclr::nn {

struct ConvOptions {
  std::int64_t channels = 0;  ///< K, output channels
  ConvGeometry geometry;
  bool input_gradient = true;  ///< false where x is the image
};
/// y (V,H',W',K) of x (V,H,W,C); parameter `name`.weight (K,R,S,C), no bias.
TensorId conv(Recorder& recorder, const std::string& name, TensorId x, const ConvOptions& options);

struct LinearOptions {
  std::int64_t channels = 0;  ///< K
  bool with_bias = false;
  float initial_stddev = 0.01F;  ///< 0: zeros
  bool input_gradient = true;
};
/// y (V,K) of x (V,C), f32; parameters `name`.weight (K,C) [and `name`.bias (K)].
TensorId linear(Recorder& recorder, const std::string& name, TensorId x,
                const LinearOptions& options);

/// x (V,H,W,3), of the host's views in the activation dtype.
TensorId pack_input(Recorder& recorder, TensorId views);
TensorId max_pool(Recorder& recorder, TensorId x, ConvGeometry geometry);
/// h f32 (V,C), stored where the program wants it (arena, or output for features).
TensorId global_avg_pool(Recorder& recorder, TensorId z, Storage storage);

}  // namespace simclr::nn
