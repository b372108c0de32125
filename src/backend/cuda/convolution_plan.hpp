#pragma once
// One convolution, forward or backward, made ready: the one thing asked of cuDNN. And all such
// plans of a device, each chosen once a shape.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "plan_cache.hpp"
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
  /// Forward only: each channel's sums of y and of y^2 are taken along.
  bool with_statistics = false;

  /// Whether dw is wanted in f32 from activations in 16 bits.
  [[nodiscard]] bool widens_gradient() const {
    return kind == ConvolutionKind::backward_weights && gradient_dtype != dtype;
  }
  /// "forward bf16 512x56x56x64 -> 256, 1x1": a plan's name in logs and in the plan cache.
  [[nodiscard]] std::string text() const;
};

/// Device addresses: forward reads x and w and writes y; backward_data reads y (dy) and w and
/// writes x (dx); backward_weights reads x and y (dy) and writes w (dw, f32 or dtype as the shape
/// says). With statistics forward also writes sums f32 (2,K).
struct ConvolutionOperands {
  void *x = nullptr, *w = nullptr, *y = nullptr;
  float* sums = nullptr;
};

class ConvolutionPlan {
 public:
  virtual ~ConvolutionPlan() = default;
  [[nodiscard]] virtual std::size_t workspace_bytes() const = 0;
  /// Enqueues it. Deterministic: the same bits for the same inputs, always.
  virtual void run(const ConvolutionOperands& operands, std::span<std::byte> workspace,
                   cudaStream_t stream) = 0;
  /// Which algorithm: an engine and its knobs, as text that make_convolution_plan() accepts.
  [[nodiscard]] virtual std::string choice() const = 0;
};

/// The plan of a choice made earlier. Throws Error saying why where it cannot be had (any more).
std::unique_ptr<ConvolutionPlan> make_convolution_plan(const ConvolutionShape& shape,
                                                       const std::string& choice, Device& device);

struct TimedPlan {
  std::unique_ptr<ConvolutionPlan> plan;
  float milliseconds = 0;
};
/// The fastest of the deterministic candidates, on buffers of its own, which are freed again. They
/// are timed as training runs them: in a graph, and a dw in 16 bits with its widening to f32. No
/// plan where the library has no deterministic algorithm for the shape.
TimedPlan measure_convolution_plans(const ConvolutionShape& shape, Device& device);
/// What a pass over y alone takes for the statistics.
float measure_statistics_pass(const ConvolutionShape& shape, Device& device);

/// A choice is the fastest of the deterministic candidates, as measured when the shape is first
/// asked for, or what the plan cache or a resumed run says.
class ConvolutionPlans {
 public:
  explicit ConvolutionPlans(Device& device);

  /// Null where the library has no deterministic algorithm for the shape; also where dw is wanted
  /// in f32 from 16 bits, and writing it in 16 bits and widening it is clearly faster; and where
  /// statistics are wanted, and a pass of their own is faster.
  ConvolutionPlan* find_or_choose(const ConvolutionShape& shape);

  /// shape.text() -> choice of every shape that was asked for, those without a plan among them, for
  /// environment.json and checkpoints.
  [[nodiscard]] std::map<std::string, std::string> choices() const;
  /// Choices of the run that is resumed, or of rank 0: they win over the cache and over measuring,
  /// for shapes that are asked for from now on. Ranks measure alike but not the same: any mixture
  /// is correct, but only ranks that all follow one stored map repeat a run bit for bit. One that
  /// names an engine which is not to be had is a warning, and measured anew.
  void prefer(const std::map<std::string, std::string>& choices);

 private:
  struct Chosen {
    std::string choice;
    std::unique_ptr<ConvolutionPlan> plan;
  };
  /// A choice made earlier. Throws Error where it cannot be had.
  Chosen follow(const ConvolutionShape& shape, const std::string& choice);
  Chosen choose(const ConvolutionShape& shape, const std::string& name);
  Chosen measure(const ConvolutionShape& shape);
  /// Whether the shape's best plan takes less than `milliseconds`; it is kept then.
  bool keep_if_faster(const ConvolutionShape& shape, float milliseconds);

  Device& device_;
  PlanCache cache_;
  std::map<std::string, std::string> preferred_;
  std::map<std::string, Chosen> plans_;  ///< by ConvolutionShape::text()
};

}  // namespace simclr::cuda
