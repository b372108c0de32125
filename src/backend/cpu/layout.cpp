#include "layout.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "../host_values.hpp"
#include "simclr/core/check.hpp"

namespace simclr::cpu {
namespace {

constexpr std::size_t kCacheLineBytes = 64;
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

template <class Stored, class Host>
void store(const Layout& layout, Stored* device, const Host* host) {
  const std::int64_t channels = layout.channels;
  const std::int64_t pixels = layout.pixels();
#pragma omp parallel for schedule(static)
  for (std::int64_t n = 0; n < layout.images; ++n) {
    for (std::int64_t p = 0; p < pixels; ++p) {
      const Host* from = host + (n * pixels + p) * channels;
      for (std::int64_t c = 0; c < channels; ++c) {
        device[layout.index(n, p, c)] = convert_value<Stored>(from[c]);
      }
      for (std::int64_t c = channels; c < layout.padded_channels(); ++c) {
        device[layout.index(n, p, c)] = Stored{};
      }
    }
  }
}

template <class Stored, class Host>
void load(const Layout& layout, const Stored* device, Host* host) {
  const std::int64_t channels = layout.channels;
  const std::int64_t pixels = layout.pixels();
#pragma omp parallel for schedule(static)
  for (std::int64_t n = 0; n < layout.images; ++n) {
    for (std::int64_t p = 0; p < pixels; ++p) {
      Host* to = host + (n * pixels + p) * channels;
      for (std::int64_t c = 0; c < channels; ++c) {
        to[c] = convert_value<Host>(device[layout.index(n, p, c)]);
      }
    }
  }
}

constexpr std::int64_t kImageChannels = 3;

Layout::Kind kind_of(const TensorInfo& tensor) {
  const bool activation_type =
      tensor.dtype == DType::f32 || tensor.dtype == DType::bf16 || tensor.dtype == DType::u8;
  const int rank = tensor.shape.rank();
  if (is_flat(tensor.storage) || tensor.storage == Storage::control || !activation_type ||
      (rank != 2 && rank != 4)) {
    return Layout::Kind::canonical;
  }
  if (rank == 4 && tensor.shape[-1] == kImageChannels) {
    return tensor.storage == Storage::arena ? Layout::Kind::planar : Layout::Kind::canonical;
  }
  return Layout::Kind::blocked;
}

}  // namespace

Buffer allocate(std::size_t bytes) {
  const bool large = bytes >= 4 * kHugePageBytes;
  const std::size_t alignment = large ? kHugePageBytes : kCacheLineBytes;
  const std::size_t padded =
      (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  auto* data = static_cast<std::byte*>(std::aligned_alloc(alignment, padded));
  if (data == nullptr) {
    fail(
        "cannot allocate {:.1f} MB of memory; take a smaller --batch-size or encoder, or "
        "--recompute blocks (simclr plan says what fits)",
        static_cast<double>(bytes) * 1e-6);
  }
  if (large) madvise(data, padded, MADV_HUGEPAGE);  // only a hint: no harm where it is refused
  return {data, bytes, [](std::byte* memory) { std::free(memory); }};
}

void upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host) {
  check_host(tensor, host.count, host.dtype);
  const Layout layout = layout_of(tensor);
  if (layout.kind == Layout::Kind::canonical && host.dtype == layout.dtype) {
    std::memcpy(device, host.data, host.bytes());
    return;
  }
  with_type(layout.dtype, [&]<class Stored>(Stored) {
    auto* to = reinterpret_cast<Stored*>(device);
    if (host.dtype == layout.dtype) {
      store(layout, to, static_cast<const Stored*>(host.data));
    } else {
      store(layout, to, static_cast<const float*>(host.data));
    }
  });
}

void download(const TensorInfo& tensor, const std::byte* device, BufferSpan host) {
  check_host(tensor, host.count, host.dtype);
  const Layout layout = layout_of(tensor);
  if (layout.kind == Layout::Kind::canonical && host.dtype == layout.dtype) {
    std::memcpy(host.data, device, host.bytes());
    return;
  }
  with_type(layout.dtype, [&]<class Stored>(Stored) {
    const auto* from = reinterpret_cast<const Stored*>(device);
    if (host.dtype == layout.dtype) {
      load(layout, from, static_cast<Stored*>(host.data));
    } else {
      load(layout, from, static_cast<float*>(host.data));
    }
  });
}

bool all_finite(const std::byte* values, std::size_t count) {
  // All exponent bits set: infinity or NaN. Integer arithmetic, so that it vectorizes.
  constexpr std::uint32_t kExponent = 0x7F800000U;
  const auto* words = reinterpret_cast<const std::uint32_t*>(values);
  std::uint32_t found = 0;
#pragma omp parallel for simd reduction(| : found) schedule(static)
  for (std::size_t i = 0; i < count; ++i) {
    found |= static_cast<std::uint32_t>((words[i] & kExponent) == kExponent);
  }
  return found == 0;
}

Layout layout_of(const TensorInfo& tensor) {
  Layout layout{.kind = kind_of(tensor), .dtype = tensor.dtype};
  set_extents(tensor.shape, layout);
  return layout;
}

}  // namespace simclr::cpu
