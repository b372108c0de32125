#include "device.hpp"
#include "dispatch.hpp"
#include "kernels/convert.hpp"
#include "memory.hpp"

namespace simclr::cuda {

namespace {

void fill(const std::byte* masters, std::byte* copy, std::int64_t elements, DType dtype,
          cudaStream_t stream) {
  const auto* from = reinterpret_cast<const float*>(masters);
  if (dtype == DType::bf16) return convert(from, reinterpret_cast<bf16*>(copy), elements, stream);
  if (dtype == DType::f16) return convert(from, reinterpret_cast<f16*>(copy), elements, stream);
  fail("weights have no copy in {}", name_of(dtype));
}

}  // namespace

std::byte* WeightShadows::find_or_make(const std::byte* masters, std::int64_t elements, DType dtype,
                                       cudaStream_t stream) {
  Entry& entry = entries_[masters];
  const auto bytes = static_cast<std::size_t>(elements) * size_in_bytes(dtype);
  if (entry.copy.data() == nullptr || entry.elements != elements || entry.dtype != dtype) {
    entry = {.elements = elements,
             .dtype = dtype,
             .copy = allocate_device(bytes, "a 16-bit copy of the weights")};
    fill(masters, entry.copy.data(), elements, dtype, stream);
  }
  return entry.copy.data();
}

WeightShadows::Shadow WeightShadows::find(const std::byte* masters) const {
  const auto found = entries_.find(masters);
  if (found == entries_.end()) return {};
  return {.dtype = found->second.dtype, .data = found->second.copy.data()};
}

void WeightShadows::refresh(const std::byte* first, std::size_t bytes, cudaStream_t stream) {
  for (const auto& [masters, entry] : entries_) {
    const std::byte* end = masters + entry.elements * static_cast<std::int64_t>(sizeof(float));
    if (masters < first + bytes && first < end) {
      fill(masters, entry.copy.data(), entry.elements, entry.dtype, stream);
    }
  }
}

void WeightShadows::forget(const std::byte* masters) { entries_.erase(masters); }

}  // namespace simclr::cuda
