#pragma once
// How much arithmetic and memory traffic a view costs, and how fast this machine does them: what a
// benchmark puts beside the measured rate.

#include <string>

#include "simclr/data/augmentation.hpp"
#include "simclr/data/augmentation_parameters.hpp"

namespace simclr {

struct AugmentationWork {
  double flops = 0;  ///< a multiply-add counts as two, a comparison or selection as one
  double bytes = 0;  ///< stored pixels of the crop read, pixels of the view written
};

/// Work of one view as it is rendered, from its parameters.
AugmentationWork count_view_work(const AugmentationConfig& config, const ViewParameters& view);

struct AugmentationLimits {
  std::string kernels;          ///< instruction set of the rendering kernels
  double flops_per_second = 0;  ///< multiply-adds of that instruction set, one core
  double bytes_per_second = 0;  ///< read and written by copying memory far larger than the caches
};

/// Processor time of the calling thread: what neighbours on the same core take is not counted.
double thread_seconds();

/// Measured for about `seconds` on the calling core.
AugmentationLimits measure_augmentation_limits(double seconds);

}  // namespace simclr
