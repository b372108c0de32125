#pragma once
// What `simclr bench` can run. A benchmark lives in one bench_*.cpp and one line of benchmarks.cpp.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "simclr/comm/communicator.hpp"

namespace simclr {

struct Benchmark {
  std::string_view name;
  std::string_view summary;  ///< one line for `simclr bench --help`
  /// Returns the process's exit code; throws as a command does.
  int (*run)(const std::vector<std::string>& arguments, Communicator& world) = nullptr;
};

std::span<const Benchmark> benchmarks();

}  // namespace simclr
