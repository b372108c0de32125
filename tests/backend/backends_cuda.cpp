// The CUDA backend, on a device or (SIMCLR_CUDA_EMULATION) on the emulated one.

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstring>

#include "backend/backends.hpp"
#include "backend/cuda/layout.hpp"
#include "simclr/backend/registry.hpp"

namespace simclr::testing {

namespace {

/// Channels that pad a row are zero, always (but for the positions of maxima, which nothing adds).
void check_padding(const TensorInfo& tensor, std::span<const std::byte> stored) {
  const cuda::Layout layout = cuda::layout_of(tensor);
  if (tensor.dtype == DType::u8 || !layout.padded()) return;
  std::vector<std::byte> bytes(stored.size());
  ASSERT_EQ(cudaMemcpy(bytes.data(), stored.data(), stored.size(), cudaMemcpyDeviceToHost),
            cudaSuccess);
  const std::size_t size = size_in_bytes(layout.dtype);
  const std::vector<std::byte> zero(size);
  for (std::int64_t row = 0; row < layout.rows(); ++row) {
    for (std::int64_t c = layout.channels; c < layout.stride; ++c) {
      const std::byte* element =
          bytes.data() + static_cast<std::size_t>(layout.index(row, c)) * size;
      ASSERT_EQ(std::memcmp(element, zero.data(), size), 0)
          << tensor.name << ": padding channel " << c << " of row " << row;
    }
  }
}

}  // namespace

const std::vector<BackendUnderTest>& backends_under_test() {
  static const std::vector<BackendUnderTest> all{
      {.name = SIMCLR_BACKEND_NAME,
       .make = [] { return make_cuda_backend({.share_device = true}); },
       .activations = {DType::f32, DType::bf16, DType::f16},
       .why_skip = [](DType) { return why_no_cuda(); },
       .check_stored = check_padding}};
  return all;
}

}  // namespace simclr::testing
