#pragma once
// Separable resampling from interleaved bytes or floats into strips. The vertical pass works
// along rows (lanes are columns), then a transposition, then the horizontal pass (lanes are rows):
// every load and store is contiguous, whatever the scale.

#include "simclr/augment/pixels.hpp"
#include "strips.hpp"

namespace simclr::SIMCLR_ISA {

SIMCLR_HD_INLINE VecF iota() { return to_float(lane_numbers()); }

/// Weights as PyTorch's antialiased interpolation computes them (half-pixel centers, taps outside
/// the signal dropped, then normalized to add up to `total`); as TensorFlow 2 does without
/// antialiasing.
inline void make_taps(const Axis& axis, ResamplingFilter filter, float total,
                      const TapTable& table) {
  const bool bicubic = filter.interpolation == Interpolation::bicubic;
  const bool antialiased = filter.semantics == AugmentSemantics::torchvision;
  const float scale = static_cast<float>(axis.in) / static_cast<float>(axis.out);
  const float stretch = antialiased && scale > 1.0F ? scale : 1.0F;
  const float support = (bicubic ? 2.0F : 1.0F) * stretch;
  const auto last_start = static_cast<float>(axis.in - table.taps);
  for (int i = 0; i < axis.count; i += kWidth) {
    const VecF output = iota() + (static_cast<float>(axis.first + i) + 0.5F);
    const VecF center = scale * output;
    const VecF earliest = larger(center - support + 0.5F, VecF{});
    const VecI whole = __builtin_convertvector(earliest, VecI);
    const VecF start = smaller(to_float(whole), VecF{} + last_start);
    const VecI first = __builtin_convertvector(start, VecI);
    __builtin_memcpy(table.start + i, &first, sizeof first);
    VecF sum{};
    for (int t = 0; t < table.taps; ++t) {
      const VecF distance = (start + static_cast<float>(t) - center + 0.5F) / stretch;
      const VecF weight = bicubic ? cubic_filter(distance) : triangle_filter(distance);
      store(table.weight + Index{t} * table.stride + i, weight);
      sum += weight;
    }
    const VecF norm = total / sum;
    for (int t = 0; t < table.taps; ++t) {
      float* weight = table.weight + Index{t} * table.stride + i;
      store(weight, load(weight) * norm);
    }
  }
}

/// Weights of TensorFlow 1: output i lies at i * in / out, the cubic filter is sharper, and taps
/// outside the signal take its first or last sample.
inline void make_corner_taps(const Axis& axis, Interpolation interpolation, float total,
                             const TapTable& table) {
  const bool bicubic = interpolation == Interpolation::bicubic;
  const float scale = static_cast<float>(axis.in) / static_cast<float>(axis.out);
  const VecF last_start = VecF{} + static_cast<float>(axis.in - table.taps);
  const VecF last_sample = VecF{} + static_cast<float>(axis.in - 1);
  const float before = bicubic ? 1 : 0;  // taps before the sample at or before the output's place
  const int reach = bicubic ? 4 : 2;
  for (int i = 0; i < axis.count; i += kWidth) {
    const VecF place = scale * (iota() + static_cast<float>(axis.first + i));
    const VecF earliest = to_float(__builtin_convertvector(place, VecI)) - before;
    const VecF start = smaller(larger(earliest, VecF{}), last_start);
    const VecI first = __builtin_convertvector(start, VecI);
    __builtin_memcpy(table.start + i, &first, sizeof first);
    for (int t = 0; t < table.taps; ++t) {
      VecF weight{};
      for (int tap = 0; tap < reach; ++tap) {
        const VecF sample = earliest + static_cast<float>(tap);
        const VecF inside = smaller(larger(sample, VecF{}), last_sample);
        const VecF distance = sample - place;
        const VecF of_tap = bicubic ? sharp_cubic_filter(distance) : triangle_filter(distance);
        weight += inside == start + static_cast<float>(t) ? of_tap : VecF{};
      }
      store(table.weight + Index{t} * table.stride + i, weight * total);
    }
  }
}

/// One tap an output with weight 1: the axis only copies.
inline void make_copy_taps(const Axis& axis, const TapTable& table) {
  for (int i = 0; i < axis.count; ++i) {
    table.start[i] = axis.first + i;
    table.weight[i] = 1.0F;
  }
}

/// Makes the table of an axis.
inline void make_table(const Axis& axis, const Resampling& resampling, float total,
                       const TapTable& table) {
  if (resampling.copies) return make_copy_taps(axis, table);
  if (resampling.filter.semantics == AugmentSemantics::tf_v1) {
    return make_corner_taps(axis, resampling.filter.interpolation, total, table);
  }
  make_taps(axis, resampling.filter, total, table);
}

/// An image whose rows lie `stride` values apart, of stored bytes or of floats in [0, 1].
template <class Value>
struct Source {
  const Value* pixels;
  Index stride;
};

/// Values at `from`, of which `count` may be read, as they are or divided by 255.
SIMCLR_HD_INLINE VecF load_values(const std::uint8_t* from, int count) {
  return load_bytes(from, count);
}
SIMCLR_HD_INLINE VecF load_values(const float* from, int count) {
  if (count >= kWidth) return load(from);
  VecF values{};
  __builtin_memcpy(&values, from, static_cast<unsigned>(count) * sizeof(float));
  return values;
}
SIMCLR_HD_INLINE VecF load_copy(const std::uint8_t* from, int count) {
  return load_bytes(from, count) / 255.0F;
}
SIMCLR_HD_INLINE VecF load_copy(const float* from, int count) { return load_values(from, count); }

/// Vertical pass over kVectors * kWidth adjacent values: kWidth output rows from `first_row` on
/// (the last row repeats), transposed into `window`. `readable` values may be read from `column`
/// on.
template <int kVectors, class Value>
SIMCLR_HD_INLINE void blend_rows(const Resampling& resampling, const TapTable& taps, int first_row,
                                 Source<Value> column, int readable, float* window) {
  VecF block[kVectors][kWidth];
  for (int lane = 0; lane < kWidth; ++lane) {
    const int last = resampling.rows.count - 1;
    const int row = first_row + lane < last ? first_row + lane : last;
    const Value* source = column.pixels + taps.start[row] * column.stride;
    VecF sum[kVectors] = {};
    if (!resampling.copies) {
      for (int t = 0; t < taps.taps; ++t, source += column.stride) {
        const float weight = taps.weight[Index{t} * taps.stride + row];
        for (int v = 0; v < kVectors; ++v) {
          sum[v] += weight * load_values(source + Index{v} * kWidth, readable - v * kWidth);
        }
      }
    } else {
      for (int v = 0; v < kVectors; ++v) {
        sum[v] = load_copy(source + Index{v} * kWidth, readable - v * kWidth);
      }
    }
    for (int v = 0; v < kVectors; ++v) block[v][lane] = sum[v];
  }
  for (int v = 0; v < kVectors; ++v) {
    transpose(block[v]);
    for (int i = 0; i < kWidth; ++i) store(window + (Index{v} * kWidth + i) * kWidth, block[v][i]);
  }
}

template <class Value>
void fill_window(Source<Value> image, const Resampling& resampling, const TapTable& taps,
                 int first_row, float* window) {
  constexpr int kVectors = 4;
  constexpr Index kBlock = Index{kVectors} * kWidth;
  const Index width = Index{3} * resampling.columns.in;
  const auto from = [&](Index at) { return Source<Value>{image.pixels + at, image.stride}; };
  Index at = 0;
  for (; at + kBlock <= width; at += kBlock) {
    blend_rows<kVectors>(resampling, taps, first_row, from(at), kVectors * kWidth,
                         window + at * kWidth);
  }
  for (; at + kWidth <= width; at += kWidth) {
    blend_rows<1>(resampling, taps, first_row, from(at), kWidth, window + at * kWidth);
  }
  if (at < width && width >= kWidth) {  // the last values once more, together with earlier ones
    at = width - kWidth;
    blend_rows<1>(resampling, taps, first_row, from(at), kWidth, window + at * kWidth);
  } else if (at < width) {
    blend_rows<1>(resampling, taps, first_row, image, static_cast<int>(width), window);
  }
}

/// Horizontal pass over one strip, from right to left if `mirrored`, clamped to [0, 1] (bicubic
/// overshoots).
inline void resample_columns(const Axis& axis, bool mirrored, const TapTable& taps,
                             const float* window, float* strip) {
  for (int x = 0; x < axis.count; ++x) {
    const int i = mirrored ? axis.count - 1 - x : x;
    const float* source = window + taps.start[i] * kColumn;
    Rgb<VecF> sum{};
    for (int t = 0; t < taps.taps; ++t, source += kColumn) {
      const float weight = taps.weight[Index{t} * taps.stride + i];
      sum.r += weight * load(source);
      sum.g += weight * load(source + kWidth);
      sum.b += weight * load(source + Index{2} * kWidth);
    }
    float* out = strip + x * kColumn;
    store(out, clamp01(sum.r));
    store(out + kWidth, clamp01(sum.g));
    store(out + Index{2} * kWidth, clamp01(sum.b));
  }
}

}  // namespace simclr::SIMCLR_ISA
