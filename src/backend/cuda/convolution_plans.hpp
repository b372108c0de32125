#pragma once
// All convolution plans of a device, each chosen once a shape.

#include <map>
#include <memory>
#include <string>

#include "convolution_plan.hpp"

namespace simclr::cuda {

/// A choice is the fastest of the deterministic candidates, as measured when the shape is first
/// asked for, or what the plan cache or a resumed run says.
class ConvolutionPlans {
 public:
  explicit ConvolutionPlans(Device& device);
  ConvolutionPlans(const ConvolutionPlans&) = delete;
  ConvolutionPlans& operator=(const ConvolutionPlans&) = delete;
  ~ConvolutionPlans();

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
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr::cuda
