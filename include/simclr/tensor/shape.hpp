#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace simclr {

/// Extents of a tensor of one to four dimensions, slowest first: (N,H,W,C), (N,C), (K,R,S,C), (C).
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents)
      : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents);

  static constexpr std::size_t kMaxRank = 4;

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] std::span<const std::int64_t> extents() const {
    return std::span(extents_).first(static_cast<std::size_t>(rank_));
  }
  /// Negative indices count from the end: shape[-1] is the number of channels.
  [[nodiscard]] std::int64_t operator[](int dimension) const;
  [[nodiscard]] std::int64_t elements() const;
  [[nodiscard]] std::string text() const;

  bool operator==(const Shape&) const = default;

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace simclr
