#include "simclr/bench/benchmarks.hpp"

#include <array>

namespace simclr {

int run_bench_augment(const std::vector<std::string>& arguments, Communicator& world);
int run_bench_loader(const std::vector<std::string>& arguments, Communicator& world);
int run_bench_loss(const std::vector<std::string>& arguments, Communicator& world);
int run_bench_op(const std::vector<std::string>& arguments, Communicator& world);
int run_bench_step(const std::vector<std::string>& arguments, Communicator& world);

std::span<const Benchmark> benchmarks() {
  static constexpr std::array kBenchmarks{
      Benchmark{"step", "the whole training step, with pretrain's options", run_bench_step},
      Benchmark{"op", "every op of a training step", run_bench_op},
      Benchmark{"loss", "NT-Xent, forward and backward", run_bench_loss},
      Benchmark{"loader", "page cache to batch buffer, beside a plain pread of the same bytes",
                run_bench_loader},
      Benchmark{"augment", "views a second on one core, op by op", run_bench_augment},
  };
  return kBenchmarks;
}

}  // namespace simclr
