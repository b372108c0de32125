#pragma once
// Lists of augmentation operations as text, and the parameters of the operations.

#include <string>
#include <vector>

#include "simclr/augment/view_parameters.hpp"

namespace simclr {

/// An operation and the probability, in [0, 1], that a view gets it.
struct OpChance {
  AugmentOp op = AugmentOp::crop;
  float probability = 1;
  bool operator==(const OpChance&) const = default;
};
/// The operations of a view in the order in which they are applied, each at most once.
using AugmentationList = std::vector<OpChance>;

/// The parameters are meant for views in [0, 1] with S x S pixels; operation_parameters() has their
/// names and ranges.
struct OpParameters {
  double crop_min_area = 0.08, crop_max_area = 1;  ///< parts of the image's area
  /// The largest changes at color strength 1.
  double color_brightness = 0.8, color_contrast = 0.8, color_saturation = 0.8, color_hue = 0.2;
  double blur_min_sigma = 0.1, blur_max_sigma = 2;  ///< pixels
  double cutout_size = 0.5;                         ///< side of the square, in parts of S
  double cutout_fill = 0.5;
  double noise_min_sigma = 0, noise_max_sigma = 0.2;
  double solarize_threshold = 0.5;
  bool operator==(const OpParameters&) const = default;
};

struct OpParameter {
  const char* name;  ///< "op.key"
  double OpParameters::*value;
  double low, high;  ///< both allowed
};
const std::vector<OpParameter>& operation_parameters();

const char* name_of(AugmentOp op);
/// "crop,flip,...": all operations.
std::string operation_names();
bool has_op(const AugmentationList& list, AugmentOp op);
/// The probability of an operation that is named without one.
float usual_probability(AugmentOp op);

/// Reads items "op" or "op:p", or "none" alone, into `list`. Returns what is wrong with them,
/// naming the item; "" if nothing is.
std::string read_augmentation_list(const std::vector<std::string>& items, AugmentationList& list);
/// Reads items "op.key=value" into `parameters`, likewise.
std::string read_operation_parameters(const std::vector<std::string>& items,
                                      OpParameters& parameters);
/// The items of a list that was stored when operations were applied in the order crop, flip, color,
/// gray, blur whatever the order given, in that order.
std::vector<std::string> in_earlier_order(std::vector<std::string> items);

}  // namespace simclr
