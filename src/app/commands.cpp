#include <array>

#include "command.hpp"

namespace simclr {
namespace {

const std::array kCommands{
    Command{"bench", "benchmarks of the program's parts, with the machine's limits beside them",
            true, run_bench},
    Command{"export", "checkpoint -> .safetensors with torchvision's names", false, run_export},
};

// One line a benchmark: {"op", "...", uses_mpi, run_bench_op}.
const std::vector<Command> kBenchmarks{
    Command{"op", "every op of a training step", false, run_bench_op},
    Command{"augment", "views a second on one core, op by op", false, run_bench_augment},
};

}  // namespace

std::span<const Command> commands() { return kCommands; }
std::span<const Command> benchmarks() { return kBenchmarks; }

}  // namespace simclr
