#pragma once
// One convolution, forward or backward, made ready: the one thing asked of cuDNN.

#include <cuda_runtime.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "simclr/program/ops.hpp"
#include "simclr/tensor/dtype.hpp"

namespace simclr::cuda {

class Device;

enum class ConvolutionKind : std::uint8_t { forward, backward_data, backward_weights };

/// A convolution as the library sees it. Activations are packed (N,H,W,C), filters (K,R,S,C); C and
/// K are the stored (padded) counts.
struct ConvolutionShape {
  ConvolutionKind kind = ConvolutionKind::forward;
  DType dtype = DType::f32;           ///< of activations and of the filter
  DType gradient_dtype = DType::f32;  ///< of dw: f32, or `dtype`; matters to backward_weights only
  std::int64_t images = 1, height = 1, width = 1, in_channels = 1;
  std::int64_t out_height = 1, out_width = 1, out_channels = 1;
  int kernel = 1, stride = 1, padding = 0;
  bool allow_tf32 = false;  ///< f32 only

  auto operator<=>(const ConvolutionShape&) const = default;
  /// "forward bf16 512x56x56x64 -> 256, 1x1": a plan's name in logs and in the plan cache.
  [[nodiscard]] std::string text() const;
};

/// Device addresses: forward reads x and w and writes y; backward_data reads y (dy) and w and
/// writes x (dx); backward_weights reads x and y (dy) and writes w (dw, f32 or dtype as the shape
/// says).
struct ConvolutionOperands {
  void *x = nullptr, *w = nullptr, *y = nullptr;
};

class ConvolutionPlan {
 public:
  ConvolutionPlan() = default;
  ConvolutionPlan(const ConvolutionPlan&) = delete;
  ConvolutionPlan& operator=(const ConvolutionPlan&) = delete;
  virtual ~ConvolutionPlan() = default;
  [[nodiscard]] virtual std::size_t workspace_bytes() const = 0;
  /// Enqueues it. Deterministic: the same bits for the same inputs, always.
  virtual void run(const ConvolutionOperands& operands, std::span<std::byte> workspace,
                   cudaStream_t stream) = 0;
  /// Which algorithm: an engine and its knobs, as text that find_or_choose() accepts again.
  [[nodiscard]] virtual std::string choice() const = 0;
};

/// All plans of a device, each chosen once a shape: the fastest of the deterministic candidates, as
/// measured when it is first asked for, or what the plan cache or a resumed run says.
class ConvolutionPlans {
 public:
  explicit ConvolutionPlans(Device& device);
  ConvolutionPlans(const ConvolutionPlans&) = delete;
  ConvolutionPlans& operator=(const ConvolutionPlans&) = delete;
  ~ConvolutionPlans();

  /// Null where the library has no deterministic algorithm for the shape.
  ConvolutionPlan* find_or_choose(const ConvolutionShape& shape);

  /// shape.text() -> choice() of every plan that is in use, for environment.json and checkpoints.
  [[nodiscard]] std::map<std::string, std::string> choices() const;
  /// Choices of the run that is resumed, or of rank 0: they win over the cache and over measuring,
  /// for shapes that are asked for from now on. Ranks measure alike but not the same: any mixture
  /// is correct, but only ranks that all follow one stored map repeat a run bit for bit. One that
  /// names an engine which is not to be had is a warning, and measured anew.
  void prefer(const std::map<std::string, std::string>& choices);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr::cuda
