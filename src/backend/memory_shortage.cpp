#include "memory_shortage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace simclr {
namespace {

constexpr std::int64_t kBatchMultiple = 8;  // samples of a rank; smaller batches as they come

// Allocations are rounded up to pages, and libraries take a little more.
constexpr double kUsable = 0.98;

double megabytes(std::size_t bytes) { return static_cast<double>(bytes) / 1e6; }

std::string describe_largest(const MemoryDemand& demand) {
  std::optional<std::size_t> largest;
  for (std::size_t t = 0; t < demand.program.tensors.size(); ++t) {
    const bool in_arena = demand.program.tensors[t].storage == Storage::arena;
    if (!in_arena || !demand.plan.lifetime[t].used()) continue;
    if (!largest || demand.plan.bytes[t] > demand.plan.bytes[*largest]) largest = t;
  }
  if (!largest) return "";
  const TensorInfo& tensor = demand.program.tensors[*largest];
  return fmt::format("; the largest activation is {} {} {} with {:.1f} MB", tensor.name,
                     tensor.shape.text(), name_of(tensor.dtype),
                     megabytes(demand.plan.bytes[*largest]));
}

/// Activations and inputs grow with the views; parameters, their optimizer's state, results and
/// scratch memory do not.
struct Split {
  std::size_t growing = 0;
  std::size_t fixed = 0;
};
Split split_demand(const MemoryDemand& demand) {
  Split split{.growing = demand.plan.arena_bytes,
              .fixed = demand.workspace_bytes + demand.other_bytes};
  for (std::size_t t = 0; t < demand.program.tensors.size(); ++t) {
    const Storage storage = demand.program.tensors[t].storage;
    if (storage == Storage::input) {
      split.growing += (demand.inputs_are_staged ? 2 : 1) * demand.plan.bytes[t];
    } else if (storage != Storage::arena && !is_flat(storage)) {
      split.fixed += demand.plan.bytes[t];
    }
  }
  for (const FlatBuffer& flat : kFlatBuffers) {
    if (!demand.program.holds(flat.storage)) continue;
    split.fixed +=
        static_cast<std::size_t>(demand.program.flat_elements(flat.storage)) * sizeof(float);
  }
  return split;
}

std::string advise_batch(std::size_t budget, const MemoryDemand& demand) {
  const auto views = demand.program.named.find("views");
  if (views == demand.program.named.end()) return "";
  const auto [growing, fixed] = split_demand(demand);
  const double per_view = static_cast<double>(growing) /
                          static_cast<double>(demand.program.info(views->second).shape[0]);
  const double left =
      std::max(kUsable * static_cast<double>(budget) - static_cast<double>(fixed), 0.0);
  std::int64_t samples =
      static_cast<std::int64_t>(left / per_view) / demand.program.views_per_sample;
  if (samples > kBatchMultiple) samples -= samples % kBatchMultiple;
  if (samples == 0) {
    return fmt::format("; no batch fits: parameters and scratch memory alone take {:.1f} MB",
                       megabytes(fixed));
  }
  return fmt::format("; a batch of about {} samples would fit ({} on each of {} ranks)",
                     samples * demand.ranks, samples, demand.ranks);
}

}  // namespace

OutOfDeviceMemory explain_shortage(const OutOfDeviceMemory& error, const std::string& what,
                                   std::size_t held_bytes, const MemoryDemand& demand) {
  const std::string asked =
      error.asked_bytes > 0 ? fmt::format("{:.1f} MB are asked for, ", megabytes(error.asked_bytes))
                            : "";
  return {error.asked_bytes, error.free_bytes, what,
          fmt::format("out of device memory: no room for {}: {}{:.1f} MB are free{}{}", what, asked,
                      megabytes(error.free_bytes), describe_largest(demand),
                      advise_batch(held_bytes + error.free_bytes, demand))};
}

}  // namespace simclr
