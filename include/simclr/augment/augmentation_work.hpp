#pragma once
// How much arithmetic and memory traffic a view costs: with the machine's limits, what a benchmark
// puts beside the measured rate.

#include <string>

#include "simclr/augment/augmentation.hpp"
#include "simclr/augment/augmentation_parameters.hpp"

namespace simclr {

struct AugmentationWork {
  double flops = 0;  ///< a multiply-add counts as two, a comparison or selection as one
  double bytes = 0;  ///< stored pixels of the crop read, pixels of the view written
};

/// Work of one view of an image of this height and width as it is rendered into this type, from its
/// parameters. Moving pixels without arithmetic counts for nothing.
AugmentationWork count_view_work(const AugmentationConfig& config, const ViewParameters& view,
                                 int height, int width, DType dtype);

/// Instruction set of the rendering kernels that this processor gets.
std::string augmentation_kernels();

}  // namespace simclr
