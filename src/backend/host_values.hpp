#pragma once
// What backends' layouts have in common, and values on their way between the host's canonical
// layout and a backend's own.

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

/// Sets the extents of activations, which have rank 4, or rank 2 with height = width = 1; the
/// elements of other tensors all count as channels.
template <class Layout>
void set_extents(const Shape& shape, Layout& layout) {
  const int rank = shape.rank();
  if (rank != 2 && rank != 4) {
    layout.channels = shape.elements();
    return;
  }
  layout.images = shape[0];
  if (rank == 4) {
    layout.height = shape[1];
    layout.width = shape[2];
  }
  layout.channels = shape[-1];
}

}  // namespace simclr
