#pragma once
// The benchmarks that `simclr bench` can run. Each lives in its own bench_*.cpp, returns the
// process's exit code and throws as a command does.

#include <string>
#include <vector>

#include "simclr/comm/communicator.hpp"

namespace simclr {

int run_bench_augment(const std::vector<std::string>& arguments, Communicator& world);
int run_bench_loader(const std::vector<std::string>& arguments, Communicator& world);
int run_bench_loss(const std::vector<std::string>& arguments, Communicator& world);
int run_bench_op(const std::vector<std::string>& arguments, Communicator& world);
int run_bench_step(const std::vector<std::string>& arguments, Communicator& world);

}  // namespace simclr
