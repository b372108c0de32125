#include "axis.hpp"

#include <fmt/format.h>

#include <cmath>

namespace simclr {
namespace {

/// The smallest of 1, 2, 5 times a power of ten that is not below `least`.
double round_step(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

}  // namespace

Axis make_axis(double least, double greatest, Ends ends, int labels) {
  if (!(greatest > least)) {
    const double room = least == 0 ? 1 : std::abs(least) / 2;
    greatest = least + room;
    if (least != 0) least -= room;
  }
  const double step = round_step((greatest - least) / labels);
  const double slack = step * 1e-9;
  Axis axis{least, greatest, {}};
  if (ends == Ends::round) {
    axis.low = std::floor((least + slack) / step) * step;
    axis.high = std::ceil((greatest - slack) / step) * step;
  }
  // Counted in whole numbers of steps: sums would drift off the round values.
  const auto first = std::llround(std::ceil((axis.low - slack) / step));
  const auto last = std::llround(std::floor((axis.high + slack) / step));
  for (auto i = first; i <= last; ++i) axis.ticks.push_back(static_cast<double>(i) * step);
  return axis;
}

std::string label_text(double value) {
  const double size = std::abs(value);
  if (size >= 1e9) return fmt::format("{:.4g}G", value / 1e9);
  if (size >= 1e6) return fmt::format("{:.4g}M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.4g}k", value / 1e3);
  return fmt::format("{:.4g}", value);
}

std::string exact_text(double value) {
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  return whole ? fmt::format("{:.0f}", value) : fmt::format("{:.6g}", value);
}

}  // namespace simclr
