#pragma once
// Which pixels of a stored image a view is made from, and how each axis is resized: the same for
// rendering on the host and on a device.

#include <cstddef>
#include <utility>

#include "simclr/augment/augmentation.hpp"

namespace simclr::augment {

/// One axis of a separable resampling: outputs [first, first + count) of a signal of `in` samples
/// that is resized to `out` samples.
struct Axis {
  int in = 0;
  int out = 0;
  int first = 0;
  int count = 0;
  bool mirrored = false;  ///< outputs in reverse order
};

/// Taps that any output of the axis needs: pixels whose centres lie within the filter's support.
int count_taps(const Axis& axis, Interpolation interpolation);

struct ViewGeometry {
  std::ptrdiff_t first_byte = 0;  ///< of the source window in the image, RGB interleaved
  std::ptrdiff_t row_bytes = 0;   ///< from a row of the image to the next
  Axis rows, columns;             ///< rows.count = columns.count = the view's side S
  bool resample = true;           ///< false: both axes copy, and bytes become float(byte) / 255
};

/// Of a training view of an image of this height and width. Throws Error when the crop does not lie
/// inside the image.
ViewGeometry view_geometry(const AugmentationConfig& config, int height, int width,
                           const ViewParameters& parameters);

/// Rows and columns of the evaluation image: the short side becomes round(S*256/224) pixels, the
/// long side in proportion (truncated, as torchvision), and of that the central S x S pixels.
std::pair<Axis, Axis> evaluation_axes(int height, int width, int side);

}  // namespace simclr::augment
