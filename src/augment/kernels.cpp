// The whole rendering of a view, compiled once for each instruction set.

#include "resample.hpp"
#include "strips.hpp"

namespace simclr::SIMCLR_ISA {

/// Position of contrast among the ops; 4 when there is no jitter.
inline int contrast_position(const ViewParameters& view) {
  int position = 0;
  while (position < 4 && !(view.jitter && view.order[position] == ColorOp::contrast)) ++position;
  return position;
}

template <class T>
void render_as(const ViewJob& job, const Workspace& work, T* out) {
  const int side = job.columns.count;
  const int strips = (side + kWidth - 1) / kWidth;
  const auto strip_at = [&](int strip) {
    return work.strips + (Index{strip} * (side + 2 * work.margin) + work.margin) * kColumn;
  };
  const auto rows_in = [&](int strip) {
    const int left = side - strip * kWidth;
    return left < kWidth ? left : kWidth;
  };

  if (job.resample) {
    make_taps(job.rows, job.interpolation, 1.0F / 255.0F, work.row_taps);
    make_taps(job.columns, job.interpolation, 1.0F, work.column_taps);
  } else {
    make_copy_taps(job.rows, work.row_taps);
    make_copy_taps(job.columns, work.column_taps);
  }

  const ViewParameters& view = job.parameters;
  const int contrast = contrast_position(view);
  const bool two_sweeps = contrast < 4;
  const ColorSweep before{.begin = 0,
                          .end = two_sweeps ? contrast : 0,
                          .gray = view.gray && !two_sweeps,
                          .sum_luma = two_sweeps};
  double luma_sum = 0;
  for (int strip = 0; strip < strips; ++strip) {
    fill_window(job, work.row_taps, strip * kWidth, work.window);
    resample_columns(job.columns, work.column_taps, work.window, strip_at(strip));
    if (two_sweeps || view.gray) {
      luma_sum += sweep_strip(job, before, strip_at(strip), side, rows_in(strip));
    }
  }

  const ColorSweep after{.begin = contrast,
                         .end = 4,
                         .gray = view.gray,
                         .mean_luma = static_cast<float>(luma_sum / (double(side) * side))};
  BlurKernel kernel;
  if (view.blur) make_blur_kernel(work.margin, view.sigma, kernel);
  const Index row_values = Index{3} * side;
  for (int strip = 0; strip < strips; ++strip) {
    float* pixels = strip_at(strip);
    if (two_sweeps) sweep_strip(job, after, pixels, side, rows_in(strip));
    const Index first = Index{strip} * kWidth * row_values;
    if (kernel.radius > 0) {
      reflect_margins(pixels, side, kernel.radius);
      write_rows(pixels, kernel, {}, work.rows + first, row_values, rows_in(strip));
    } else {
      write_rows(pixels, kernel, job.normalization, out + first, row_values, rows_in(strip));
    }
  }
  if (kernel.radius > 0) {
    blur_columns(work.rows, kernel, row_values, side, job.normalization, out);
  }
}

void render(const ViewJob& job, const Workspace& work, void* out) {
  if (job.dtype == DType::bf16) return render_as(job, work, static_cast<bf16*>(out));
  if (job.dtype == DType::f16) return render_as(job, work, static_cast<f16*>(out));
  render_as(job, work, static_cast<float*>(out));
}

}  // namespace simclr::SIMCLR_ISA
