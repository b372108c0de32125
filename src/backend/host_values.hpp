#pragma once
// Values on their way between the host's canonical layout and a backend's own.

#include "simclr/core/check.hpp"
#include "simclr/tensor/convert.hpp"
#include "simclr/tensor/tensor.hpp"

namespace simclr {

/// Host memory is a whole tensor, in the tensor's type or in f32.
inline void check_host(const TensorInfo& tensor, std::size_t count, DType dtype) {
  if (count != static_cast<std::size_t>(tensor.shape.elements()) ||
      (dtype != tensor.dtype && dtype != DType::f32)) {
    fail("tensor {} {} of type {} does not match host memory of {} elements of type {}",
         tensor.name, tensor.shape.text(), name_of(tensor.dtype), count, name_of(dtype));
  }
}

}  // namespace simclr
