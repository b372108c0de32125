#pragma once
// A convolution that takes its output's statistics along, for the op right behind it.

#include <optional>

#include "steps.hpp"

namespace simclr::cuda {

/// Where in the workspace the convolution that is the op before has left plain sums f32 (2, stride)
/// of y and y^2, bytes; empty where a pass over y is to make them. It is the one case in which
/// contents of the workspace are meant for the next step.
std::optional<std::size_t> sums_taken_along(const BnStatistics& op, const SizingContext& context);

}  // namespace simclr::cuda
