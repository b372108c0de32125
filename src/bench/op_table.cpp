#include "measurement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "simclr/program/op_cost.hpp"

namespace simclr {
namespace {

/// Returns the median time of every op in seconds.
std::vector<double> time_ops(Executor& executor, const OpTableOptions& options) {
  const std::size_t count = executor.program().ops.size();
  std::vector<std::vector<double>> seconds(count);
  executor.run_all();
  executor.wait();
  for (int repeat = 0; repeat < options.repeats; ++repeat) {
    for (std::size_t op = 0; op < count; ++op) {
      const auto work = [&] {
        for (int run = 0; run < options.runs; ++run) executor.run(op, op + 1);
        executor.wait();
      };
      seconds[op].push_back(seconds_of(work) / options.runs);
    }
  }
  std::vector<double> medians(count);
  std::ranges::transform(seconds, medians.begin(), median);
  return medians;
}

struct Line {
  int count = 0;
  double seconds = 0;
  OpCost cost;
  double bound_seconds = 0;  // the least time that the machine's limits allow
};

std::map<std::string, Line> summarize(const Program& program, const std::vector<double>& seconds,
                                      const MachineLimits& limits, const OpTableOptions& options) {
  const double bf16_gflops = limits.bf16_gflops.value_or(limits.f32_gflops);
  std::map<std::string, Line> lines;
  for (std::size_t i = 0; i < program.ops.size(); ++i) {
    const Op& op = program.ops[i];
    const std::string kind(verb(op));
    const OpCost cost = cost_of(program, op);
    const bool low_precision = options.bf16 && kind.starts_with("conv");
    const double gflops = low_precision ? bf16_gflops : limits.f32_gflops;
    Line& line = lines[options.by_shape ? shape_text(program, op) : kind];
    ++line.count;
    line.seconds += seconds[i];
    line.cost.flops += cost.flops;
    line.cost.bytes += cost.bytes;
    line.bound_seconds +=
        std::max(cost.flops / gflops, cost.bytes / limits.copy_gbytes_per_second) * 1e-9;
  }
  return lines;
}

void print(const std::map<std::string, Line>& lines, double views) {
  std::vector<std::pair<std::string, Line>> sorted(lines.begin(), lines.end());
  std::ranges::sort(sorted, [](auto& a, auto& b) { return a.second.seconds > b.second.seconds; });
  double total = 0;
  double bound = 0;
  for (const auto& [name, line] : sorted) {
    total += line.seconds;
    bound += line.bound_seconds;
  }
  std::size_t width = 10;
  for (const auto& [name, line] : sorted) width = std::max(width, name.size());
  fmt::print("{:<{}} {:>5} {:>9} {:>6} {:>9} {:>7} {:>8}\n", "op", width, "count", "ms", "share",
             "GFLOP/s", "GB/s", "of limit");
  for (const auto& [name, line] : sorted) {
    fmt::print(
        "{:<{}} {:>5} {:>9.3f} {:>5.1f}% {:>9} {:>7.1f} {:>7.0f}%\n", name, width, line.count,
        line.seconds * 1e3, 100 * line.seconds / total,
        line.cost.flops > 0 ? fmt::format("{:.1f}", line.cost.flops / line.seconds * 1e-9) : "",
        line.cost.bytes / line.seconds * 1e-9, 100 * line.bound_seconds / line.seconds);
  }
  fmt::print("{:<{}} {:>5} {:>9.3f} {:>6} {:>9} {:>7} {:>7.0f}%\n", "all", width, "", total * 1e3,
             "", "", "", 100 * bound / total);
  fmt::print("{:.2f} views/s\n", views / total);
}

}  // namespace

void print_op_table(Executor& executor, const MachineLimits& limits,
                    const OpTableOptions& options) {
  const auto seconds = time_ops(executor, options);
  print(summarize(executor.program(), seconds, limits, options), options.views);
}

}  // namespace simclr
