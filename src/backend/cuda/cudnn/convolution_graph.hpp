#pragma once
// One convolution as an operation graph of cuDNN: what an engine is asked to compute.

#include <array>
#include <vector>

#include "../convolution_plan.hpp"
#include "descriptor.hpp"

namespace simclr::cuda::cudnn {

/// Operands' alignment that engines may count on, bytes: 16-byte accesses. Slices of the flat
/// buffers and of their 16-bit shadows start at multiples of 32 bytes, arena tensors at 256.
inline constexpr std::int64_t kAlignmentBytes = 16;

/// Names of the operands in variant packs: x, w, y; with statistics also the sums of y and of y^2.
inline constexpr std::array<std::int64_t, 5> kOperandIds{1, 2, 3, 4, 5};

/// The GPU that plans are for: a handle's, or, in tests without a GPU, one that a
/// CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR describes.
struct Target {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

/// Engines write a filter's gradient in the operands' type. Where it is wanted in f32 from 16 bits,
/// the graph ends with a copy of the (virtual) f32 sums, which cuDNN's run-time compiled engines
/// fuse into the convolution. Statistics are an operation on y that has no meaning of its own.
class ConvolutionGraph {
 public:
  ConvolutionGraph(const ConvolutionShape& shape, const Target& target);

  [[nodiscard]] const ConvolutionShape& shape() const { return shape_; }
  [[nodiscard]] const Target& target() const { return target_; }
  [[nodiscard]] const Descriptor& graph() const { return graph_; }

 private:
  ConvolutionShape shape_;
  Target target_;
  std::vector<Descriptor> tensors_;
  Descriptor convolution_, copy_;
  std::vector<Descriptor> operations_;
  Descriptor graph_;
};

}  // namespace simclr::cuda::cudnn
