#pragma once

#include "kernels/row_tiles.hpp"
#include "layout.hpp"
#include "simclr/program/ops.hpp"

namespace simclr::cuda {

/// For kernels that sum over rows: slices of one line of memory and tall chunks, so that partial
/// sums are few.
RowTiles tiles_for_sums(const Layout& layout, const BnGroups& groups);
/// For kernels that write what they read: wide slices, chunks just tall enough to pay for a slice's
/// coefficients.
RowTiles tiles_for_elements(const Layout& layout, const BnGroups& groups);

}  // namespace simclr::cuda
