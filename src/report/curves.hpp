#pragma once

#include <string>

#include "run_data.hpp"

namespace simclr {

/// The run's curves as HTML; what its metrics do not have is left out. Needs at least one row.
std::string draw_curves(const RunData& run);

}  // namespace simclr
