// The whole rendering of a view, compiled once for each instruction set.

#include "filters.hpp"
#include "pixel_ops.hpp"
#include "resample.hpp"

namespace simclr::SIMCLR_ISA {

/// A view on its way through its operations. Those of single pixels wait until one needs the view
/// as a whole; then one sweep over the strips resamples, applies what waits and passes on, a strip
/// at a time, so that a strip stays in the nearest cache.
class Painter {
 public:
  Painter(const ViewJob& job, const Workspace& work)
      : job_(job),
        view_(job.parameters),
        work_(work),
        canvas_{work.strips, job.side, work.margin},
        turned_{work.turned, job.side, work.margin},
        resampling_(job.base),
        row_values_(Index{3} * job.side) {}

  /// Applies an operation. Returns true if the view was finished with it, in `out`; only the last
  /// one may.
  template <class T>
  bool apply_op(AugmentOp op, bool last, T* out) {
    switch (op) {
      case AugmentOp::crop:
        crop();
        break;
      case AugmentOp::flip:
        flip();
        break;
      case AugmentOp::color:
        for (const ColorOp color : view_.order) add_color(color);
        break;
      case AugmentOp::gray:
        add({.op = PixelOp::gray});
        break;
      case AugmentOp::cutout:
        add({.op = PixelOp::cutout, .value = job_.cutout_fill});
        break;
      case AugmentOp::noise:
        add({.op = PixelOp::noise, .value = view_.noise_sigma});
        break;
      case AugmentOp::solarize:
        add({.op = PixelOp::solarize, .value = view_.threshold});
        break;
      case AugmentOp::equalize:
        equalize();
        break;
      case AugmentOp::rotate:
        rotate();
        break;
      case AugmentOp::blur:
        return pass_on(last, out, [&](auto* to, Normalization n) { return blur(to, n); });
      case AugmentOp::sobel:
        return pass_on(last, out, [&](auto* to, Normalization n) { return sobel(to, n); });
    }
    return false;
  }

  /// Writes the view as rows.
  template <class T>
  void write(T* out, Normalization normalization) {
    sweep(Collect::nothing, [&](int strip, float* pixels) {
      write_strip(strip, pixels, kNoFilter, normalization, out);
    });
  }

 private:
  enum class From : std::uint8_t { stored_image, rows, strips };

  void add(const PixelStep& step) { waiting_[count_++] = step; }

  void add_color(ColorOp op) {
    const bool tf = job_.semantics != AugmentSemantics::torchvision;
    switch (op) {
      case ColorOp::brightness:
        return add({.op = job_.additive_brightness ? PixelOp::add : PixelOp::multiply,
                    .value = view_.brightness});
      case ColorOp::contrast: {
        const Collected sums = collect(tf ? Collect::channels : Collect::luma);
        const double pixels = double(job_.side) * job_.side;
        return add({.op = tf ? PixelOp::channel_contrast : PixelOp::luma_contrast,
                    .value = view_.contrast,
                    .luma = static_cast<float>(sums.luma / pixels),
                    .mean = {static_cast<float>(sums.red / pixels),
                             static_cast<float>(sums.green / pixels),
                             static_cast<float>(sums.blue / pixels)}});
      }
      case ColorOp::saturation:
        return add(
            {.op = tf ? PixelOp::hsv_saturation : PixelOp::blend_gray, .value = view_.saturation});
      case ColorOp::hue:
        return add({.op = PixelOp::hue, .value = view_.hue});
    }
  }

  void equalize() {
    histograms_ = {};
    (void)collect(Collect::histograms);
    equalize_levels(histograms_, levels_);
    add({.op = PixelOp::equalize, .levels = &levels_});
  }

  void flip() {
    if (from_ != From::strips && count_ == 0) {
      mirrored_ = !mirrored_;  // while the columns are resampled
      return;
    }
    sweep(Collect::nothing, [&](int strip, float*) { mirror_columns(canvas_, strip); });
  }

  void rotate() {
    sweep(Collect::nothing, [](int, float*) {});
    const bool clockwise = view_.quarter_turns == 3;
    const int turns = clockwise ? 1 : view_.quarter_turns;
    for (int i = 0; i < turns; ++i) {
      turn_quarter(canvas_, clockwise, turned_);
      const Canvas from = canvas_;
      canvas_ = turned_;
      turned_ = from;
    }
  }

  void crop() {
    write(work_.image, {});
    load_from({work_.image + job_.crop_offset, row_values_}, job_.crop);
  }

  /// Runs a filter, which may find that it changes nothing and then returns false: into the view if
  /// it is the last operation, else into an image that the operations after it take up.
  template <class T, class Run>
  bool pass_on(bool last, T* out, Run run) {
    if (last) return run(out, job_.normalization);
    if (run(work_.image, Normalization{})) {
      const Axis all{.in = job_.side, .out = job_.side, .first = 0, .count = job_.side};
      load_from({work_.image, row_values_}, {.rows = all, .columns = all, .copies = true});
    }
    return false;
  }

  template <class T>
  bool blur(T* to, Normalization normalization) {
    const bool tf = job_.semantics != AugmentSemantics::torchvision;
    const Border border = tf ? Border::zero : Border::mirrored;
    Filter filter;
    make_blur_filter(blur_kernel_size(job_.side) / 2, view_.sigma, filter);
    if (filter.radius == 0) return false;
    sweep(Collect::nothing, [&](int strip, float* pixels) {
      fill_margins(pixels, job_.side, filter.radius, border);
      write_strip(strip, pixels, filter, {}, work_.rows);
    });
    blur_columns(work_.rows, filter, border, row_values_, job_.side, normalization, to);
    return true;
  }

  template <class T>
  bool sobel(T* to, Normalization normalization) {
    sweep(Collect::nothing, [&](int strip, float* pixels) {
      fill_margins(pixels, job_.side, 1, Border::mirrored);
      write_strip(strip, pixels, kDifference, {}, work_.rows);
      write_strip(strip, pixels, kSmoothing, {}, work_.more_rows);
    });
    sobel_columns(work_.rows, work_.more_rows, row_values_, job_.side, normalization, to);
    return true;
  }

  template <class T>
  void write_strip(int strip, const float* pixels, const Filter& filter,
                   Normalization normalization, T* out) const {
    write_rows(pixels, filter, normalization, out + Index{strip} * kWidth * row_values_,
               row_values_, canvas_.rows_in(strip));
  }

  void load_from(Source<float> rows, const Resampling& resampling) {
    from_ = From::rows;
    rows_ = rows;
    resampling_ = resampling;
  }

  /// The tables of what the next sweep resamples.
  void make_tables() {
    row_taps_ = work_.row_taps;
    column_taps_ = work_.column_taps;
    row_taps_.taps = resampling_.row_taps;
    column_taps_.taps = resampling_.column_taps;
    const float total = from_ == From::stored_image ? 1.0F / 255.0F : 1.0F;
    make_table(resampling_.rows, resampling_, total, row_taps_);
    make_table(resampling_.columns, resampling_, 1.0F, column_taps_);
  }

  void load(int strip) {
    const int row = strip * kWidth;
    if (from_ == From::stored_image) {
      const Source<std::uint8_t> stored{job_.pixels, job_.row_bytes};
      fill_window(stored, resampling_, row_taps_, row, work_.window);
    } else {
      fill_window(rows_, resampling_, row_taps_, row, work_.window);
    }
    resample_columns(resampling_.columns, mirrored_, column_taps_, work_.window,
                     canvas_.strip(strip));
  }

  Collected collect(Collect what) {
    return sweep(what, [](int, float*) {});
  }

  /// Brings every strip up to date and calls finish(strip, its pixels).
  template <class Finish>
  Collected sweep(Collect what, Finish finish) {
    Collected collected;
    if (from_ != From::strips) make_tables();
    for (int strip = 0; strip < canvas_.count(); ++strip) {
      if (from_ != From::strips) load(strip);
      float* pixels = canvas_.strip(strip);
      if (count_ > 0 || what != Collect::nothing) {
        const StripOfRows rows{pixels, job_.side, strip * kWidth, canvas_.rows_in(strip)};
        sweep_strip(waiting_, count_, view_, rows, what, collected, histograms_);
      }
      finish(strip, pixels);
    }
    from_ = From::strips;
    mirrored_ = false;
    count_ = 0;
    return collected;
  }

  const ViewJob& job_;
  const ViewParameters& view_;
  const Workspace& work_;
  Canvas canvas_, turned_;
  /// Where the pixels are that the next sweep starts from, and how they get into the strips.
  From from_ = From::stored_image;
  Source<float> rows_{};
  Resampling resampling_;
  bool mirrored_ = false;
  TapTable row_taps_, column_taps_;
  /// Color jitter makes four steps, another operation at most one.
  PixelStep waiting_[kAugmentOps + 3];
  int count_ = 0;
  Histograms histograms_;
  Levels levels_;
  Index row_values_;
};

template <class T>
void render_as(const ViewJob& job, const Workspace& work, T* out) {
  Painter painter(job, work);
  const ViewParameters& view = job.parameters;
  for (int i = 0; i < view.op_count; ++i) {
    if (painter.apply_op(view.ops[i], i + 1 == view.op_count, out)) return;
  }
  painter.write(out, job.normalization);
}

void render(const ViewJob& job, const Workspace& work, void* out) {
  if (job.dtype == DType::bf16) return render_as(job, work, static_cast<bf16*>(out));
  if (job.dtype == DType::f16) return render_as(job, work, static_cast<f16*>(out));
  render_as(job, work, static_cast<float*>(out));
}

}  // namespace simclr::SIMCLR_ISA
