#pragma once

#include <string_view>

namespace simclr {

/// The page's style sheet, for light and dark screens, wide and narrow ones, and paper.
std::string_view page_style();

}  // namespace simclr
