#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace simclr {

/// `values` holds at least one value; of an even number the upper of the two in the middle counts.
inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// The median of what `measure` returns when it is called `repeats` times.
template <class Measure>
double median_of(int repeats, Measure&& measure) {
  std::vector<double> values(static_cast<std::size_t>(repeats));
  std::generate(values.begin(), values.end(), measure);
  return median(std::move(values));
}

/// Seconds of the wall clock that `work` takes.
template <class Work>
double seconds_of(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace simclr
