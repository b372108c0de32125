#pragma once
// Color jitter and grayscale on strips. Only contrast looks beyond its pixel: it needs the mean of
// the view as the ops before it left it, so the four ops run in two sweeps, cut before contrast.

#include "strips.hpp"

namespace simclr::SIMCLR_ISA {

/// Ops [begin, end) of the jitter order, then grayscale; together one sweep over a strip.
struct ColorSweep {
  int begin = 0;
  int end = 0;
  bool gray = false;
  bool sum_luma = false;
  float mean_luma = 0;
};

SIMCLR_HD_INLINE Rgb<VecF> apply_color_op(ColorOp op, const ViewJob& job, float mean_luma,
                                          Rgb<VecF> p) {
  const ViewParameters& view = job.parameters;
  switch (op) {
    case ColorOp::brightness:
      return job.additive_brightness ? add_brightness(p, view.brightness)
                                     : adjust_brightness(p, view.brightness);
    case ColorOp::contrast:
      return adjust_contrast(p, mean_luma, view.contrast);
    case ColorOp::saturation:
      return adjust_saturation(p, view.saturation);
    case ColorOp::hue:
      return adjust_hue(p, view.hue);
  }
  return p;
}

/// Returns the sum of luma of the first `rows` lanes where the sweep asks for it.
inline double sweep_strip(const ViewJob& job, const ColorSweep& sweep, float* strip, int columns,
                          int rows) {
  VecF sum{};
  for (int x = 0; x < columns; ++x) {
    float* at = strip + x * kColumn;
    Rgb<VecF> p = {load(at), load(at + kWidth), load(at + Index{2} * kWidth)};
    for (int i = sweep.begin; i < sweep.end; ++i) {
      p = apply_color_op(job.parameters.order[i], job, sweep.mean_luma, p);
    }
    if (sweep.gray) {
      const VecF gray = luma(p);
      p = {gray, gray, gray};
    }
    if (sweep.sum_luma) sum += luma(p);
    store(at, p.r);
    store(at + kWidth, p.g);
    store(at + Index{2} * kWidth, p.b);
  }
  double total = 0;  // lane by lane: one order, whatever the thread count
  for (int lane = 0; lane < rows; ++lane) total += double{sum[lane]};
  return total;
}

}  // namespace simclr::SIMCLR_ISA
