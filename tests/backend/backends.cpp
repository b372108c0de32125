#include "backend/backends.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "backend/cpu/layout.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/core/bf16.hpp"

namespace simclr::testing {

namespace {

/// Two, or what SIMCLR_TEST_THREADS says.
int threads() {
  const char* wanted = std::getenv("SIMCLR_TEST_THREADS");
  return wanted == nullptr ? 2 : std::stoi(wanted);
}

/// Channels that pad a block are zero, always (but for the positions of maxima, which nothing
/// adds).
void check_padding(const TensorInfo& tensor, std::span<const std::byte> stored) {
  if (tensor.dtype == DType::u8) return;
  const cpu::Layout layout = cpu::layout_of(tensor);
  const std::size_t size = size_in_bytes(layout.dtype);
  const std::vector<std::byte> zero(size);
  for (std::int64_t n = 0; n < layout.images; ++n) {
    for (std::int64_t p = 0; p < layout.pixels(); ++p) {
      for (std::int64_t c = layout.channels; c < layout.padded_channels(); ++c) {
        const std::byte* element =
            stored.data() + static_cast<std::size_t>(layout.index(n, p, c)) * size;
        ASSERT_EQ(std::memcmp(element, zero.data(), size), 0)
            << tensor.name << ": padding channel " << c << " of image " << n << ", pixel " << p;
      }
    }
  }
}

std::string why_skip(DType activations) {
  const bool slow = activations == DType::bf16 && !cpu_has_native_bf16();
  return slow ? "this CPU has no native bf16 arithmetic" : "";
}

}  // namespace

const std::vector<BackendUnderTest>& backends_under_test() {
  static const std::vector<BackendUnderTest> all{
      {.name = "cpu",
       .make = [] { return make_cpu_backend(threads()); },
       .activations = {DType::f32, DType::bf16},
       .why_skip = why_skip,
       .check_stored = check_padding}};
  return all;
}

const std::vector<RanksUnderTest>& ranks_under_test() {
  static const std::vector<RanksUnderTest> all{
      {.name = "cpu", .make = [](const NodePlace&) { return make_cpu_backend(threads()); }}};
  return all;
}

}  // namespace simclr::testing
