#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>

#include "simclr/core/check.hpp"
#include "simclr/tensor/dtype.hpp"
#include "simclr/tensor/shape.hpp"
#include "simclr/tensor/tensor.hpp"

namespace simclr {

std::size_t size_in_bytes(DType dtype) {
  constexpr std::array<std::size_t, 6> kBytes{4, 8, 2, 2, 4, 1};
  return kBytes.at(static_cast<std::size_t>(dtype));
}

std::string_view name_of(DType dtype) {
  constexpr std::array kNames{"f32", "f64", "bf16", "f16", "i32", "u8"};
  static_assert(kNames.size() == static_cast<std::size_t>(DType::u8) + 1);
  return kNames.at(static_cast<std::size_t>(dtype));
}

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
