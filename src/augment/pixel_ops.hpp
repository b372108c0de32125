#pragma once
// Operations that change each pixel by itself, many in one sweep over a strip. Some need numbers of
// the whole view as it is before them; the sweep before collects these.

#include "noise.hpp"
#include "strips.hpp"

namespace simclr::SIMCLR_ISA {

enum class PixelOp : std::uint8_t {
  // Those of torchvision's jitter, and gray, share one loop over the pixels.
  multiply,       ///< brightness: times value
  add,            ///< brightness: plus value
  luma_contrast,  ///< torchvision's
  blend_gray,     ///< saturation, torchvision's
  hue,
  gray,
  // The others have a loop each: their constants would push those above out of the registers.
  channel_contrast,  ///< TensorFlow's
  hsv_saturation,    ///< TensorFlow's
  noise,
  cutout,
  solarize,
  equalize
};
inline constexpr bool shares_loop(PixelOp op) { return op <= PixelOp::gray; }

struct Histograms {
  std::int32_t count[3][256];
};
/// New values of the 256 levels of each channel, in [0, 1]; a channel that is not changed has none.
struct Levels {
  float value[3][256];
  bool changed[3];
};

/// Without initial values: a painter has room for many and sets few.
struct PixelStep {
  PixelOp op;
  float value;      ///< factor, addend, turns, sigma, threshold or filling
  float luma;       ///< mean of the view
  Rgb<float> mean;  ///< of the view's channels
  const Levels* levels;
};

/// What a sweep collects from the pixels as it leaves them.
enum class Collect : std::uint8_t { nothing, luma, channels, histograms };
struct Collected {
  double luma = 0;
  double red = 0, green = 0, blue = 0;
};

SIMCLR_HD_INLINE Rgb<VecF> cut_out(Rgb<VecF> p, const CropBox& box, float fill, int first_row,
                                   int column) {
  if (column < box.left || column >= box.left + box.width) return p;
  const VecI rows = lane_numbers() + (first_row - box.top);  // from the box's first on
  const VecI inside = (rows >= 0) & (rows < box.height);
  const VecF filling = VecF{} + fill;
  return {inside ? filling : p.r, inside ? filling : p.g, inside ? filling : p.b};
}

/// The nearest of the 256 levels.
SIMCLR_HD_INLINE VecI level_of(VecF x) { return __builtin_convertvector(255.0F * x + 0.5F, VecI); }

SIMCLR_HD_INLINE Rgb<VecF> map_levels(Rgb<VecF> p, const Levels& levels) {
  if (levels.changed[0]) p.r = gather(levels.value[0], level_of(p.r));
  if (levels.changed[1]) p.g = gather(levels.value[1], level_of(p.g));
  if (levels.changed[2]) p.b = gather(levels.value[2], level_of(p.b));
  return p;
}

/// Applies an operation that shares_loop().
SIMCLR_HD_INLINE Rgb<VecF> apply(const PixelStep& step, Rgb<VecF> p) {
  switch (step.op) {
    case PixelOp::multiply:
      return adjust_brightness(p, step.value);
    case PixelOp::add:
      return add_brightness(p, step.value);
    case PixelOp::luma_contrast:
      return adjust_contrast(p, step.luma, step.value);
    case PixelOp::blend_gray:
      return adjust_saturation(p, step.value);
    case PixelOp::hue:
      return adjust_hue(p, step.value);
    case PixelOp::gray: {
      const VecF gray = luma(p);
      return {gray, gray, gray};
    }
    default:
      __builtin_unreachable();
  }
}

/// Lane by lane: one order, whatever the number of threads.
inline double sum_of_lanes(VecF sum, int rows) {
  double total = 0;
  for (int lane = 0; lane < rows; ++lane) total += double{sum[lane]};
  return total;
}

inline void count_levels(VecF values, int rows, std::int32_t (&count)[256]) {
  const VecI level = level_of(values);
  for (int lane = 0; lane < rows; ++lane) ++count[level[lane]];
}

/// A strip of a view of `columns` columns, whose first `rows` lanes hold rows from `first_row` on.
struct StripOfRows {
  float* pixels = nullptr;
  int columns = 0;
  int first_row = 0;
  int rows = 0;
};

SIMCLR_HD_INLINE Rgb<VecF> load_pixels(const float* at) {
  return {load(at), load(at + kWidth), load(at + Index{2} * kWidth)};
}
SIMCLR_HD_INLINE void store_pixels(float* at, Rgb<VecF> p) {
  store(at, p.r);
  store(at + kWidth, p.g);
  store(at + Index{2} * kWidth, p.b);
}

/// Applies `count` steps that share a loop. Returns the sum of luma of the view's rows if asked.
template <bool sum_luma>
double sweep_shared(const PixelStep* steps, int count, const StripOfRows& strip) {
  VecF sum{};
  for (int x = 0; x < strip.columns; ++x) {
    float* at = strip.pixels + x * kColumn;
    Rgb<VecF> p = load_pixels(at);
    for (int i = 0; i < count; ++i) p = apply(steps[i], p);
    if (sum_luma) sum += luma(p);
    if (count > 0) store_pixels(at, p);
  }
  return sum_luma ? sum_of_lanes(sum, strip.rows) : 0;
}

/// Replaces every vector of pixels by change(pixels, column).
template <class Change>
SIMCLR_HD_INLINE void change_pixels(const StripOfRows& strip, Change change) {
  for (int x = 0; x < strip.columns; ++x) {
    float* at = strip.pixels + x * kColumn;
    store_pixels(at, change(load_pixels(at), x));
  }
}

/// Applies an operation that has a loop of its own.
inline void sweep_own(const PixelStep& step, const ViewParameters& view, const StripOfRows& strip) {
  switch (step.op) {
    case PixelOp::channel_contrast:
      return change_pixels(strip, [&](Rgb<VecF> p, int) {
        return adjust_channel_contrast(p, step.mean, step.value);
      });
    case PixelOp::hsv_saturation:
      return change_pixels(strip,
                           [&](Rgb<VecF> p, int) { return adjust_hsv_saturation(p, step.value); });
    case PixelOp::noise: {
      const VecI first = (lane_numbers() + strip.first_row) * strip.columns;
      return change_pixels(strip, [&](Rgb<VecF> p, int x) {
        return add_noise(p, view.noise, (VecU)(first + x), step.value);
      });
    }
    case PixelOp::cutout:
      return change_pixels(strip, [&](Rgb<VecF> p, int x) {
        return cut_out(p, view.cutout, step.value, strip.first_row, x);
      });
    case PixelOp::solarize:
      return change_pixels(strip, [&](Rgb<VecF> p, int) {
        return Rgb<VecF>{solarize(p.r, step.value), solarize(p.g, step.value),
                         solarize(p.b, step.value)};
      });
    case PixelOp::equalize:
      return change_pixels(strip, [&](Rgb<VecF> p, int) { return map_levels(p, *step.levels); });
    default:
      return;
  }
}

inline void add_channels(const StripOfRows& strip, Collected& collected) {
  Rgb<VecF> sum{};
  for (int x = 0; x < strip.columns; ++x) {
    const Rgb<VecF> p = load_pixels(strip.pixels + x * kColumn);
    sum = {sum.r + p.r, sum.g + p.g, sum.b + p.b};
  }
  collected.red += sum_of_lanes(sum.r, strip.rows);
  collected.green += sum_of_lanes(sum.g, strip.rows);
  collected.blue += sum_of_lanes(sum.b, strip.rows);
}

inline void add_histograms(const StripOfRows& strip, Histograms& histograms) {
  for (int x = 0; x < strip.columns; ++x) {
    const Rgb<VecF> p = load_pixels(strip.pixels + x * kColumn);
    count_levels(p.r, strip.rows, histograms.count[0]);
    count_levels(p.g, strip.rows, histograms.count[1]);
    count_levels(p.b, strip.rows, histograms.count[2]);
  }
}

/// Applies the steps to a strip and adds up what it is to tell as they leave it.
inline void sweep_strip(const PixelStep* steps, int count, const ViewParameters& view,
                        const StripOfRows& strip, Collect collect, Collected& collected,
                        Histograms& histograms) {
  int first = 0;  // of the steps that share the next loop
  for (int i = 0; i <= count; ++i) {
    if (i < count && shares_loop(steps[i].op)) continue;
    const bool sum_luma = i == count && collect == Collect::luma;
    if (sum_luma) {
      collected.luma += sweep_shared<true>(steps + first, i - first, strip);
    } else if (i > first) {
      (void)sweep_shared<false>(steps + first, i - first, strip);
    }
    if (i < count) sweep_own(steps[i], view, strip);
    first = i + 1;
  }
  if (collect == Collect::channels) add_channels(strip, collected);
  if (collect == Collect::histograms) add_histograms(strip, histograms);
}

/// PIL's ImageOps.equalize. A channel of one level, or of few pixels below the highest level,
/// stays.
inline void equalize_levels(const Histograms& histograms, Levels& levels) {
  for (int channel = 0; channel < 3; ++channel) {
    const std::int32_t(&count)[256] = histograms.count[channel];
    std::int32_t pixels = 0;
    std::int32_t of_last = 0;
    for (const std::int32_t c : count) {
      pixels += c;
      if (c > 0) of_last = c;
    }
    const std::int32_t step = (pixels - of_last) / 255;
    levels.changed[channel] = step > 0;
    if (step == 0) continue;
    std::int32_t below = step / 2;
    for (int level = 0; level < 256; ++level) {
      const std::int32_t mapped = below / step;
      levels.value[channel][level] = static_cast<float>(mapped < 255 ? mapped : 255) / 255.0F;
      below += count[level];
    }
  }
}

}  // namespace simclr::SIMCLR_ISA
