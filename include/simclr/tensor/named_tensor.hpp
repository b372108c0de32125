#pragma once

#include <string>
#include <vector>

#include "simclr/tensor/shape.hpp"

namespace simclr {

/// An f32 tensor as checkpoints and exports hold it: row-major values with a name.
struct NamedTensor {
  std::string name;
  Shape shape;
  std::vector<float> values;
};

}  // namespace simclr
