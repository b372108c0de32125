#pragma once
// Buffers as MPI sees them: its types, and counts that fit into an `int`.

#include <mpi.h>

#include <algorithm>
#include <cstddef>

#include "simclr/core/check.hpp"
#include "simclr/tensor/span.hpp"

namespace simclr {

inline constexpr std::size_t kMaxElementsPerMessage = std::size_t{1} << 30;

inline MPI_Datatype mpi_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return MPI_FLOAT;
    case DType::f64:
      return MPI_DOUBLE;
    case DType::i32:
      return MPI_INT32_T;
    case DType::bf16:
    case DType::f16:
    case DType::u8:
      break;
  }
  fail("all-reduce of {} is not supported", name_of(dtype));
}

inline std::byte* at(const BufferSpan& buffer, std::size_t element) {
  return static_cast<std::byte*>(buffer.data) + element * size_in_bytes(buffer.dtype);
}

/// Calls piece(first element, count) for each part that fits into one message.
template <class Piece>
void for_each_message(std::size_t count, Piece&& piece) {
  for (std::size_t first = 0; first < count; first += kMaxElementsPerMessage) {
    piece(first, static_cast<int>(std::min(kMaxElementsPerMessage, count - first)));
  }
}

}  // namespace simclr
