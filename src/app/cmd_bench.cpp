#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iostream>

#include "command.hpp"
#include "simclr/bench/benchmarks.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/names.hpp"

namespace simclr {
namespace {

struct Benchmark {
  std::string_view name;
  std::string_view summary;  ///< one line for `simclr bench --help`
  int (*run)(const std::vector<std::string>& arguments, Communicator& world) = nullptr;
};
constexpr std::array kBenchmarks{
    Benchmark{"step", "the whole training step, with pretrain's options", run_bench_step},
    Benchmark{"op", "every op of a training step", run_bench_op},
    Benchmark{"loss", "a contrastive loss, forward and backward", run_bench_loss},
    Benchmark{"loader", "page cache to batch buffer, beside a plain pread of the same bytes",
              run_bench_loader},
    Benchmark{"augment", "views a second on one core, op by op", run_bench_augment},
};

std::vector<std::string> benchmark_names() {
  std::vector<std::string> names;
  names.reserve(std::size(kBenchmarks));
  for (const Benchmark& b : kBenchmarks) names.emplace_back(b.name);
  return names;
}

void print_help() {
  std::cout << "usage: simclr bench BENCHMARK [--option value ...]\n\n";
  for (const Benchmark& b : kBenchmarks) {
    std::cout << fmt::format("  {:<10} {}\n", b.name, b.summary);
  }
  std::cout << "\nsimclr bench BENCHMARK --help lists a benchmark's options, --list-options does\n"
               "as JSON.\n\n"
               "example: simclr bench step --encoder resnet18 --image-size 32 --batch-size 64\n";
}

}  // namespace

int run_bench(Invocation& invocation) {
  auto& arguments = invocation.arguments;
  if (arguments.empty())
    refuse("name a benchmark: {}; see simclr bench --help", fmt::join(benchmark_names(), ", "));
  const std::string name = arguments.front();
  if (name == "--help" || name == "-h") {
    print_help();
    return 0;
  }
  if (name == "--list-options") {  // only the benchmarks have options
    std::cout << "[]\n";
    return 0;
  }
  const auto* const found = std::ranges::find(kBenchmarks, name, &Benchmark::name);
  if (found == kBenchmarks.end()) require_known("benchmark", name, benchmark_names());
  require_same_values(invocation.world, {{"the benchmark", name}});
  arguments.erase(arguments.begin());
  return found->run(arguments, invocation.world);
}

}  // namespace simclr
