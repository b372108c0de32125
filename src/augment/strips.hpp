#pragma once
// A view laid out in strips (view_job.hpp): moving its pixels, and the way from strips back to rows
// of pixels in the type of the view, through a horizontal filter.

#include "simclr/augment/pixels.hpp"
#include "simclr/core/simd.hpp"
#include "view_job.hpp"

namespace simclr::SIMCLR_ISA {

using namespace augment;

/// Floats of one column of a strip: a vector for each channel.
inline constexpr Index kColumn = Index{3} * kWidth;

/// The strips of a view of side x side pixels.
struct Canvas {
  float* strips = nullptr;
  int side = 0;
  int margin = 0;

  [[nodiscard]] int count() const { return (side + kWidth - 1) / kWidth; }
  /// The first column of a strip inside its margin.
  [[nodiscard]] float* strip(int number) const {
    return strips + (Index{number} * (side + 2 * margin) + margin) * kColumn;
  }
  /// Lanes of a strip that hold rows of the image.
  [[nodiscard]] int rows_in(int number) const {
    const int left = side - number * kWidth;
    return left < kWidth ? left : kWidth;
  }
};

// ---- moving pixels ------------------------------------------------------------------------------

inline void mirror_columns(const Canvas& canvas, int strip) {
  float* left = canvas.strip(strip);
  float* right = left + (Index{canvas.side} - 1) * kColumn;
  for (; left < right; left += kColumn, right -= kColumn) {
    for (Index i = 0; i < kColumn; i += kWidth) {
      const VecF kept = load(left + i);
      store(left + i, load(right + i));
      store(right + i, kept);
    }
  }
}

/// Turns a view by a quarter, counter-clockwise (row y becomes the column x = S-1-y of `from`), or
/// clockwise, a square of kWidth x kWidth pixels at a time.
inline void turn_quarter(const Canvas& from, bool clockwise, const Canvas& to) {
  const int last = from.side - 1;
  for (int source = 0; source < from.count(); ++source) {
    for (int target = 0; target < to.count(); ++target) {
      for (Index channel = 0; channel < kColumn; channel += kWidth) {
        VecF block[kWidth];
        for (int i = 0; i < kWidth; ++i) {
          const int y = target * kWidth + i < last ? target * kWidth + i : last;
          const int column = clockwise ? y : last - y;
          block[i] = load(from.strip(source) + column * kColumn + channel);
        }
        transpose(block);
        for (int i = 0; i < from.rows_in(source); ++i) {
          const int row = source * kWidth + i;
          const int column = clockwise ? last - row : row;
          store(to.strip(target) + column * kColumn + channel, block[i]);
        }
      }
    }
  }
}

// ---- from strips to rows ------------------------------------------------------------------------
// Filters are separable. Their horizontal pass runs on strips and the vertical one on rows, so that
// every tap is a whole vector.

inline constexpr int kMaxFilterRadius = 256;

/// weight[t], t = 0 .. 2 * radius: of the pixel t - radius further on.
struct Filter {
  int radius = 0;
  float weight[2 * kMaxFilterRadius + 1] = {};
};

inline constexpr Filter kNoFilter{};

/// What a filter finds beyond the borders.
enum class Border : std::uint8_t { mirrored, zero };

/// Fills the margins of a strip. strip: its first column inside the margin.
inline void fill_margins(float* strip, Index columns, Index radius, Border border) {
  for (Index x = 1; x <= radius; ++x) {
    float* before = strip - x * kColumn;
    float* after = strip + (columns - 1 + x) * kColumn;
    if (border == Border::zero) {
      __builtin_memset(before, 0, kColumn * sizeof(float));
      __builtin_memset(after, 0, kColumn * sizeof(float));
      continue;
    }
    const Index mirrored = reflect_index(columns - 1 + x, columns);
    __builtin_memcpy(before, strip + x * kColumn, kColumn * sizeof(float));
    __builtin_memcpy(after, strip + mirrored * kColumn, kColumn * sizeof(float));
  }
}

/// kWidth values of a row, normalized and rounded to T; `at` counts values from the row's start.
template <class T>
SIMCLR_HD_INLINE void store_normalized(T* to, VecF values, Normalization normalization, Index at) {
  if (normalization.mean != nullptr) {
    const Index channel = at % 3;
    values = (values - load(normalization.mean + channel)) / load(normalization.std + channel);
  }
  store(to, values);
}

/// kWidth adjacent values (column, channel) of a strip from value `at` of its rows on, horizontally
/// filtered unless radius is 0, as rows: `rows` of them (at most kWidth) are written to out,
/// row_values apart.
template <class T>
SIMCLR_HD_INLINE void write_block(const float* strip, const Filter& filter,
                                  Normalization normalization, Index at, T* out, Index row_values,
                                  int rows) {
  VecF block[kWidth];
  if (filter.radius == 0) {
    for (int i = 0; i < kWidth; ++i) block[i] = load(strip + Index{i} * kWidth);
  } else {
    for (VecF& sum : block) sum = VecF{};
    const float* source = strip - filter.radius * kColumn;
    for (int t = 0; t <= 2 * filter.radius; ++t, source += kColumn) {
      const float weight = filter.weight[t];
      for (int i = 0; i < kWidth; ++i) block[i] += weight * load(source + Index{i} * kWidth);
    }
  }
  transpose(block);
  for (int lane = 0; lane < rows; ++lane) {
    store_normalized(out + lane * row_values, block[lane], normalization, at);
  }
}

/// A strip as rows of interleaved pixels; needs row_values >= kWidth.
template <class T>
void write_rows(const float* strip, const Filter& filter, Normalization normalization, T* out,
                Index row_values, int rows) {
  const auto write = [&](Index at) {
    write_block(strip + at * kWidth, filter, normalization, at, out + at, row_values, rows);
  };
  Index at = 0;
  for (; at + kWidth <= row_values; at += kWidth) write(at);
  if (at < row_values) write(row_values - kWidth);  // overlaps the block before
}

}  // namespace simclr::SIMCLR_ISA
