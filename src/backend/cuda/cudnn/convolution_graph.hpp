#pragma once
// One convolution as an operation graph of cuDNN: what an engine is asked to compute.

#include <array>

#include "../convolution_plan.hpp"
#include "descriptor.hpp"

namespace simclr::cuda::cudnn {

/// Operands' alignment that engines may count on, bytes: 16-byte accesses. Slices of the flat
/// buffers and of their 16-bit shadows start at multiples of 32 bytes, arena tensors at 256.
inline constexpr std::int64_t kAlignmentBytes = 16;

/// By which variant packs tell the operands apart, in the order of ConvolutionOperands: x, w, y.
inline constexpr std::array<std::int64_t, 3> kOperandIds{1, 2, 3};

class ConvolutionGraph {
 public:
  ConvolutionGraph(const ConvolutionShape& shape, cudnnHandle_t handle);

  [[nodiscard]] const ConvolutionShape& shape() const { return shape_; }
  [[nodiscard]] const Descriptor& graph() const { return graph_; }

 private:
  ConvolutionShape shape_;
  Descriptor x_, w_, y_, convolution_, operation_, graph_;
};

}  // namespace simclr::cuda::cudnn
