#include "memory_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/system.hpp"
#include "simclr/program/planner.hpp"
#include "simclr/train/training_state.hpp"

namespace simclr {
namespace {

constexpr double kLoaderBatches = 2;  // that the loader prepares

std::string text(double bytes) { return size_text(static_cast<std::uint64_t>(bytes)); }

}  // namespace

MemoryNeed memory_need(const Program& program, const Backend& backend, bool writes_checkpoints) {
  const auto bytes = [&](const TensorInfo& info) { return backend.storage_bytes(info); };
  const MemoryReport report = report_memory(program, plan_arena(program, bytes), 0);
  const auto inputs = static_cast<double>(report.input_bytes);
  MemoryNeed need{.batches = kLoaderBatches * inputs};
  if (backend.info().name == "cpu") {
    need.activations = static_cast<double>(report.arena_bytes);
    need.parameters = static_cast<double>(report.parameter_bytes);
    need.batches += inputs;
  }
  if (writes_checkpoints) need.checkpoint = static_cast<double>(checkpoint_writing_bytes(program));
  return need;
}

std::string describe_memory_shortage(const MemoryNeed& need, double more,
                                     const MemoryBudget& budget, int ranks) {
  const double available = static_cast<double>(budget.bytes) + more;
  if (need.total() <= available) return "";
  return fmt::format(
      "{}: not enough memory to train: needed {}{} (activations {}, parameters with optimizer "
      "state {}, batches {}, writing a checkpoint {}), and {} are there ({}); use --recompute "
      "blocks, a smaller --batch-size or encoder, or more nodes, or ask for more memory",
      host_name(), text(need.total()), ranks == 1 ? "" : fmt::format(" by {} ranks", ranks),
      text(need.activations), text(need.parameters), text(need.batches), text(need.checkpoint),
      text(std::max(available, 0.0)), budget.limited_by);
}

void require_memory(const MemoryNeed& own, double more, Communicator& world) {
  const auto node = ranks_of_node(world);
  std::array<double, 5> sums{own.activations, own.parameters, own.batches, own.checkpoint, more};
  node->all_reduce({sums.data(), sums.size(), DType::f64}, Reduction::sum);
  const MemoryBudget budget = measure_memory_budget(false);
  const std::string shortage = describe_memory_shortage(
      {.activations = sums[0], .parameters = sums[1], .batches = sums[2], .checkpoint = sums[3]},
      sums[4], budget, node->size());
  refuse_together(world, shortage);  // lets no rank take memory before the others have measured
}

}  // namespace simclr
