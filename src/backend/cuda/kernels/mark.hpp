#pragma once
// How the device says which op it has come to, also within a graph: a word of page-locked host
// memory, which the host reads when something goes wrong.

#include <cuda_runtime.h>

#include <cstdint>

namespace simclr::cuda {

/// What is said, and where. Without a word nothing is.
struct Mark {
  std::int32_t* word = nullptr;
  std::int32_t op = 0;  ///< of the program
};

/// From now on `op` is what the stream has come to.
void write_mark(const Mark& mark, cudaStream_t stream);

}  // namespace simclr::cuda
