#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "command.hpp"
#include "simclr/bench/benchmarks.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/names.hpp"

namespace simclr {
namespace {

std::vector<std::string> benchmark_names() {
  std::vector<std::string> names;
  for (const Benchmark& b : benchmarks()) names.emplace_back(b.name);
  return names;
}

void print_help() {
  std::cout << "usage: simclr bench BENCHMARK [--option value ...]\n\n";
  for (const Benchmark& b : benchmarks())
    std::cout << fmt::format("  {:<10} {}\n", b.name, b.summary);
  std::cout << "\nsimclr bench BENCHMARK --help lists a benchmark's options, --list-options does "
               "as JSON.\n";
}

}  // namespace

int run_bench(Invocation& invocation) {
  auto& arguments = invocation.arguments;
  if (arguments.empty()) refuse("bench: name a benchmark: {}", fmt::join(benchmark_names(), ", "));
  const std::string name = arguments.front();
  if (name == "--help" || name == "-h") {
    print_help();
    return 0;
  }
  if (name == "--list-options") {  // only the benchmarks have options
    std::cout << "[]\n";
    return 0;
  }
  const auto all = benchmarks();
  const auto found = std::find_if(all.begin(), all.end(), [&](auto& b) { return b.name == name; });
  if (found == all.end()) require_known("benchmark", name, benchmark_names());
  arguments.erase(arguments.begin());
  return found->run(arguments, invocation.world);
}

}  // namespace simclr
