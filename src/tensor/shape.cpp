#include "simclr/tensor/shape.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "simclr/core/check.hpp"

namespace simclr {

Shape::Shape(std::span<const std::int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  require(extents.size() <= kMaxRank, "a shape must have at most four dimensions");
  std::copy(extents.begin(), extents.end(), extents_.begin());
}

std::int64_t Shape::operator[](int dimension) const {
  const int index = dimension < 0 ? dimension + rank_ : dimension;
  require(index >= 0 && index < rank_, "the dimension must be below the rank of the shape");
  return extents_[static_cast<std::size_t>(index)];
}

std::int64_t Shape::elements() const {
  return std::accumulate(extents_.begin(), extents_.begin() + rank_, std::int64_t{1},
                         std::multiplies<>());
}

std::string Shape::text() const {
  return fmt::format("({})", fmt::join(extents_.begin(), extents_.begin() + rank_, ","));
}

}  // namespace simclr
