// Products and loads of a warp's fragments, as emulation.hpp and PTX lay them out.

#include <array>
#include <cstring>

#include "emulation.hpp"
#include "simclr/core/bf16.hpp"
#include "simclr/core/f16.hpp"

namespace emulation {
namespace {

float half_to_float(HalfType type, std::uint32_t pair, int which) {
  const auto bits = static_cast<std::uint16_t>(which == 0 ? pair & 0xFFFFU : pair >> 16);
  return type == HalfType::bf16 ? simclr::to_float(simclr::bf16{bits})
                                : simclr::to_float(simclr::f16{bits});
}

/// Every lane's `mine`, in every lane.
template <class T>
std::array<T, kWarp> gather_warp(const T& mine) {
  static_assert(sizeof(T) <= sizeof(Words));
  Words given{};
  std::memcpy(given.data(), &mine, sizeof mine);
  const std::array<Words, kWarp> words = gather_words(given);
  std::array<T, kWarp> all{};
  for (std::size_t lane = 0; lane < kWarp; ++lane) {
    std::memcpy(&all[lane], words[lane].data(), sizeof(T));
  }
  return all;
}

}  // namespace

void mma_m16n8k16(HalfType type, float (&d)[4], const std::uint32_t (&a)[4],
                  const std::uint32_t (&b)[2], const float (&c)[4]) {
  const auto all_a = gather_warp(std::to_array(a));
  const auto all_b = gather_warp(std::to_array(b));
  const auto a_at = [&](int row, int column) {
    const int lane_of = row % 8 * 4 + column % 8 / 2;
    const int part = row / 8 + column / 8 * 2;
    return half_to_float(type, all_a[lane_of][part], column % 2);
  };
  const auto b_at = [&](int row, int column) {
    const int lane_of = column * 4 + row % 8 / 2;
    return half_to_float(type, all_b[lane_of][row / 8], row % 2);
  };
  const int group = lane() / 4;
  const int member = lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = group + i / 2 * 8;
    const int column = 2 * member + i % 2;
    double sum = c[i];
    for (int k = 0; k < 16; ++k) sum += double{a_at(row, k)} * double{b_at(k, column)};
    d[i] = static_cast<float>(sum);
  }
}

void load_matrices_x4(std::uint32_t (&result)[4], const void* row, bool transposed) {
  const auto rows = gather_warp(row);
  const auto element = [&](int matrix, int r, int column) {
    std::uint16_t bits = 0;
    const auto* start = static_cast<const std::byte*>(rows[matrix * 8 + r]);
    std::memcpy(&bits, start + column * 2, sizeof bits);
    return bits;
  };
  const int r = lane() / 4;
  const int column = lane() % 4 * 2;
  for (int matrix = 0; matrix < 4; ++matrix) {
    const std::uint16_t low = transposed ? element(matrix, column, r) : element(matrix, r, column);
    const std::uint16_t high =
        transposed ? element(matrix, column + 1, r) : element(matrix, r, column + 1);
    result[matrix] = static_cast<std::uint32_t>(low) | static_cast<std::uint32_t>(high) << 16;
  }
  synchronize_warp(0xFFFFFFFFU);
}

}  // namespace emulation
