#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace simclr {

/// Indices of at most `limit` (4 or more) of the values, ascending: the first, the last, and the
/// least and the greatest of every stretch between them, so that no peak is lost. All of them where
/// they are few enough.
std::vector<std::size_t> thin(std::span<const double> values, std::size_t limit);

}  // namespace simclr
