#pragma once
// What the steps of rendering share: vectors, pixels, and the strips in which a view is laid out
// between them (view_job.hpp).

#include "simclr/augment/pixels.hpp"
#include "simclr/core/simd.hpp"
#include "view_job.hpp"

namespace simclr::SIMCLR_ISA {

using namespace augment;

/// Floats of one column of a strip: a vector for each channel.
inline constexpr Index kColumn = Index{3} * kWidth;

}  // namespace simclr::SIMCLR_ISA
