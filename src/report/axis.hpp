#pragma once

#include <string>
#include <vector>

namespace simclr {

/// An axis of a chart: the values it spans, and where its labels stand.
struct Axis {
  double low = 0, high = 1;
  std::vector<double> ticks;

  /// 0 at `low`, 1 at `high`.
  [[nodiscard]] double place(double value) const { return (value - low) / (high - low); }
};

enum class Ends {
  exact,  ///< where the values end
  round,  ///< at the labels beyond them
};

/// About `labels` labels at round numbers (1, 2 or 5 times a power of ten). Where all values are
/// the same, room is made around them.
Axis make_axis(double least, double greatest, Ends ends, int labels);

/// "0.05", "1250", "25k", "1.3M": as short as a label has to be.
std::string label_text(double value);
/// Six digits, or all of a whole number: for those who want to know.
std::string exact_text(double value);

}  // namespace simclr
