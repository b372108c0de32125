#include "layout.hpp"

#include "../host_values.hpp"
#include "simclr/backend/registry.hpp"

namespace simclr {

std::size_t cuda_storage_bytes(const TensorInfo& tensor) {
  return cuda::layout_of(tensor).stored_bytes();
}

namespace cuda {

namespace {

constexpr std::int64_t kImageChannels = 3;

std::int64_t stored_channels(const TensorInfo& tensor, std::int64_t channels) {
  const bool activation_type = tensor.dtype == DType::f32 || tensor.dtype == DType::bf16 ||
                               tensor.dtype == DType::f16 || tensor.dtype == DType::u8;
  const int rank = tensor.shape.rank();
  if (is_flat(tensor.storage) || tensor.storage == Storage::control || !activation_type ||
      (rank != 2 && rank != 4)) {
    return channels;
  }
  if (rank == 4 && channels == kImageChannels) {
    return tensor.storage == Storage::arena ? kImageChannelsStored : channels;
  }
  return (channels + kChannelMultiple - 1) / kChannelMultiple * kChannelMultiple;
}

}  // namespace

Layout layout_of(const TensorInfo& tensor) {
  Layout layout{.dtype = tensor.dtype};
  set_extents(tensor.shape, layout);
  layout.stride = stored_channels(tensor, layout.channels);
  return layout;
}

}  // namespace cuda

}  // namespace simclr
