#pragma once
// Kernels that several steps launch, or that are no op's own.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "simclr/tensor/dtype.hpp"

namespace simclr::cuda {

/// sums[c] = sum over rows of matrix (rows, columns; row stride `stride`), added in f64.
void column_sums(const float* matrix, float* sums, std::int64_t rows, std::int64_t columns,
                 std::int64_t stride, cudaStream_t stream);

/// sums (width) = the column sums of terms (rows, width), f64, in an order fixed by `rows`. `width`
/// is 1, 3 or 4.
void sum_terms(const double* terms, std::int64_t rows, int width, double* sums,
               cudaStream_t stream);

/// Whether none of `count` f32 values on the device is infinite or NaN; waits for the answer.
bool all_finite(const float* values, std::size_t count, cudaStream_t stream);

/// to[i] = from[i] rounded to `dtype` (bf16 or f16), i < count; both aligned to 16 bytes.
void convert(const float* from, std::byte* to, std::int64_t count, DType dtype,
             cudaStream_t stream);

/// A filter (out, taps, in), and the same with its channels filled up with zeros: (stored_out,
/// taps, stored_in). Taps are the R x S positions of the window.
struct FilterPadding {
  std::int64_t out = 1, taps = 1, in = 1;
  std::int64_t stored_out = 1, stored_in = 1;

  [[nodiscard]] constexpr bool changes_nothing() const {
    return out == stored_out && in == stored_in;
  }
  [[nodiscard]] constexpr std::int64_t elements() const { return out * taps * in; }
  [[nodiscard]] constexpr std::int64_t stored_elements() const {
    return stored_out * taps * stored_in;
  }
};

/// padded = w, rounded to `dtype` (f32, bf16 or f16), and zeros.
void pad_filter(const FilterPadding& shape, const float* w, std::byte* padded, DType dtype,
                cudaStream_t stream);
/// w = padded without its padding, widened from `dtype`.
void unpad_filter(const FilterPadding& shape, const std::byte* padded, DType dtype, float* w,
                  cudaStream_t stream);

/// How the device says which op it has come to, also within a graph: a word of page-locked host
/// memory, which the host reads when something goes wrong. Without a word nothing is said.
struct Mark {
  std::int32_t* word = nullptr;
  std::int32_t op = 0;  ///< of the program
};

/// Records that the stream has reached the op of `mark`.
void write_mark(const Mark& mark, cudaStream_t stream);

}  // namespace simclr::cuda
