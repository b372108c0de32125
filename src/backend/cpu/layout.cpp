#include "layout.hpp"

#include "../host_values.hpp"
namespace simclr::cpu {

namespace {

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

Layout layout_of(const TensorInfo& tensor) {
  Layout layout{.kind = kind_of(tensor), .dtype = tensor.dtype};
  set_extents(tensor.shape, layout);
  return layout;
}

}  // namespace simclr::cpu
