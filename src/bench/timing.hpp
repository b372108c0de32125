#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace simclr {

/// Median of at least one value; the upper of the two middle ones if their number is even.
inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Calls `measure` `repeats` times and returns the median of its results.
template <class Measure>
double median_of(int repeats, Measure&& measure) {
  std::vector<double> values(static_cast<std::size_t>(repeats));
  std::generate(values.begin(), values.end(), measure);
  return median(std::move(values));
}

/// Returns the wall-clock time of `work` in seconds.
template <class Work>
double seconds_of(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace simclr
