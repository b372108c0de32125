#include "simclr/eval/metrics.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "simclr/core/check.hpp"

namespace simclr {

std::optional<double> average_precision_11(std::span<const double> scores,
                                           std::span<const std::uint8_t> marks) {
  require(scores.size() == marks.size(), "every score must have a mark");
  std::vector<std::size_t> ranked;
  for (std::size_t i = 0; i < marks.size(); ++i) {
    if (marks[i] != kIgnored) ranked.push_back(i);
  }
  std::ranges::sort(ranked, [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  const auto present = std::ranges::count(marks, kPresent);
  if (present == 0) return std::nullopt;

  std::array<double, 11> best{};  // largest precision with a recall of at least t/10
  std::int64_t found = 0;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    if (marks[ranked[i]] == kPresent) ++found;
    const bool tied = i + 1 < ranked.size() && scores[ranked[i + 1]] == scores[ranked[i]];
    if (tied) continue;
    const double precision = static_cast<double>(found) / static_cast<double>(i + 1);
    // In whole numbers, because 0.3 is no f64.
    for (std::int64_t t = 0; t < std::ssize(best) && 10 * found >= t * present; ++t) {
      double& largest = best.at(static_cast<std::size_t>(t));
      largest = std::max(largest, precision);
    }
  }
  double sum = 0;
  for (const double precision : best) sum += precision;
  return sum / static_cast<double>(best.size());
}

std::optional<double> mean_average_precision_11(std::span<const double> scores,
                                                std::span<const std::uint8_t> marks,
                                                std::int64_t classes) {
  const auto columns = static_cast<std::size_t>(classes);
  const std::size_t samples = scores.size() / columns;
  std::vector<double> scores_of_class(samples);
  std::vector<std::uint8_t> marks_of_class(samples);
  double sum = 0;
  double count = 0;
  for (std::size_t k = 0; k < columns; ++k) {
    for (std::size_t i = 0; i < samples; ++i) {
      scores_of_class[i] = scores[i * columns + k];
      marks_of_class[i] = marks[i * columns + k];
    }
    const auto precision = average_precision_11(scores_of_class, marks_of_class);
    if (!precision) continue;
    sum += *precision;
    count += 1;
  }
  if (count == 0) return std::nullopt;
  return sum / count;
}

}  // namespace simclr
