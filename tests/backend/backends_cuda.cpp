// The CUDA backend, on a device or (SIMCLR_CUDA_EMULATION) on the emulated one.

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

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
          bytes.data() + static_cast<std::size_t>(row * layout.stride + c) * size;
      ASSERT_EQ(std::memcmp(element, zero.data(), size), 0)
          << tensor.name << ": padding channel " << c << " of row " << row;
    }
  }
}

/// Where test programs that follow one another keep what they have measured; nowhere by default.
std::filesystem::path plan_cache() {
  const char* file = std::getenv("SIMCLR_TEST_PLAN_CACHE");
  return file != nullptr ? file : "";
}

/// Ranks have a device each where there are enough; else they share one.
std::unique_ptr<Backend> make_rank(const NodePlace& place, Collectives collectives) {
  return make_cuda_backend({.local_rank = place.rank,
                            .local_ranks = place.ranks,
                            .share_device = true,
                            .collectives = collectives,
                            .plan_cache = plan_cache()});
}

std::unique_ptr<Backend> make_nccl_rank(const NodePlace& place) {
  setenv("SIMCLR_EMULATED_DEVICES", "4", 0);
  // NCCL connects ranks on one device only if it takes them for ranks on different hosts.
  setenv("NCCL_HOSTID", ("test-host-" + std::to_string(place.rank)).c_str(), 0);
  return make_rank(place, Collectives::nccl);
}

}  // namespace

const std::vector<BackendUnderTest>& backends_under_test() {
  static const std::vector<BackendUnderTest> all{
      {.name = SIMCLR_BACKEND_NAME,
       .make = [] { return make_cuda_backend({.share_device = true, .plan_cache = plan_cache()}); },
       .activations = {DType::f32, DType::bf16, DType::f16},
       .why_skip = [](DType) { return why_no_cuda(); },
       .check_stored = check_padding}};
  return all;
}

const std::vector<RanksUnderTest>& ranks_under_test() {
  static const std::vector<RanksUnderTest> all{
      {.name = "cuda_nccl", .make = make_nccl_rank},
      {.name = "cuda_mpi",
       .make = [](const NodePlace& place) { return make_rank(place, Collectives::mpi); }}};
  return all;
}

}  // namespace simclr::testing
