#pragma once
// What the benchmarks share: timing, and the forms in which results are printed.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "simclr/backend/executor.hpp"
#include "simclr/plan/machine_limits.hpp"

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

/// What a benchmark prints: a table, or the same as one JSON object.
struct BenchReport {
  std::string table;                                ///< headings, then a line for each row
  nlohmann::json rows = nlohmann::json::array();    ///< "results"
  nlohmann::json facts = nlohmann::json::object();  ///< facts printed beside the results

  void add(const std::string& line, nlohmann::json row) {
    table += line + "\n";
    rows.push_back(std::move(row));
  }
  [[nodiscard]] std::string text(bool as_json) const {
    if (!as_json) return table;
    nlohmann::json object = facts;
    object["results"] = rows;
    return object.dump() + "\n";
  }
};

/// Runs of an op timed together on a GPU: enough that the time the host takes to launch them is
/// hidden.
inline constexpr int kRunsOnGpu = 10;

struct OpTableOptions {
  int repeats = 5;        ///< an op's time is its median over them
  bool by_shape = false;  ///< a line for each kind and shape instead of each kind
  bool bf16 = false;      ///< compare convolutions with the bf16 limit
  int runs = 1;           ///< runs of an op timed together; kRunsOnGpu on a GPU
  double views = 0;       ///< views of a step on this rank
};

/// Times every op of the executor's program alone, in the order and memory of the real step, and
/// prints time, rate and share of the machine's limit for each kind. Collective.
void print_op_table(Executor& executor, const MachineLimits& limits, const OpTableOptions& options);

}  // namespace simclr
