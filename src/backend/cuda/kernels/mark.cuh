#pragma once
// A mark that a kernel with something else to do writes on its way: one posted write.

#include "mark.hpp"

namespace simclr::cuda {

/// By one thread of the grid.
__device__ inline void write(const Mark& mark) {
  if (mark.word != nullptr) *static_cast<volatile std::int32_t*>(mark.word) = mark.op;
}

}  // namespace simclr::cuda
