#include "simclr/program/planner.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

constexpr std::size_t kArenaAlignmentBytes = 256;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kArenaAlignmentBytes - 1) / kArenaAlignmentBytes * kArenaAlignmentBytes;
}

std::vector<Lifetime> lifetimes(const Program& program, const std::vector<TensorId>& keep) {
  std::vector<Lifetime> result(program.tensors.size());
  const auto touch = [&](TensorId id, std::size_t op) {
    Lifetime& life = result[static_cast<std::size_t>(id.value)];
    life.first = std::min(life.first, op);
    life.last = std::max(life.last, op);
  };
  for (std::size_t op = 0; op < program.ops.size(); ++op) {
    const Access accessed = access(program.ops[op]);
    for (const TensorId id : accessed.reads) {
      const bool written_before = result[static_cast<std::size_t>(id.value)].used();
      if (program.info(id).storage == Storage::arena && !written_before) {
        fail("{} reads '{}', which nothing has written", describe(program, op),
             program.info(id).name);
      }
      touch(id, op);
    }
    for (const TensorId id : accessed.writes) touch(id, op);
  }
  for (const TensorId id : keep) {
    auto& life = result[static_cast<std::size_t>(id.value)];
    if (life.used()) life.last = program.ops.size();
  }
  return result;
}

/// The lowest offset at which `bytes` fit between the busy ranges [begin, end).
std::size_t lowest_gap(std::vector<std::pair<std::size_t, std::size_t>> busy, std::size_t bytes) {
  std::sort(busy.begin(), busy.end());
  std::size_t at = 0;
  for (const auto& [begin, end] : busy) {
    if (at + bytes <= begin) break;
    at = std::max(at, end);
  }
  return at;
}

}  // namespace

ArenaPlan plan_arena(const Program& program,
                     const std::function<std::size_t(const TensorInfo&)>& storage_bytes,
                     const std::vector<TensorId>& keep) {
  const std::size_t count = program.tensors.size();
  ArenaPlan plan;
  plan.offset.assign(count, 0);
  plan.bytes.resize(count);
  std::transform(program.tensors.begin(), program.tensors.end(), plan.bytes.begin(), storage_bytes);
  plan.lifetime = lifetimes(program, keep);

  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t t) {
    return program.tensors[t].storage != Storage::arena || !plan.lifetime[t].used();
  });
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return plan.bytes[a] > plan.bytes[b]; });

  std::vector<std::size_t> placed;
  for (const std::size_t t : order) {
    std::vector<std::pair<std::size_t, std::size_t>> busy;
    for (const std::size_t other : placed) {
      if (plan.lifetime[t].overlaps(plan.lifetime[other])) {
        busy.emplace_back(plan.offset[other], plan.offset[other] + aligned(plan.bytes[other]));
      }
    }
    const std::size_t bytes = aligned(plan.bytes[t]);
    plan.offset[t] = lowest_gap(std::move(busy), bytes);
    plan.arena_bytes = std::max(plan.arena_bytes, plan.offset[t] + bytes);
    placed.push_back(t);
  }
  return plan;
}

MemoryReport report_memory(const Program& program, const ArenaPlan& plan,
                           std::size_t workspace_bytes) {
  MemoryReport report;
  report.arena_bytes = plan.arena_bytes;
  report.workspace_bytes = workspace_bytes;
  std::vector<std::ptrdiff_t> change(program.ops.size() + 2, 0);
  for (std::size_t t = 0; t < program.tensors.size(); ++t) {
    const TensorInfo& info = program.tensors[t];
    const Lifetime& life = plan.lifetime[t];
    if (info.storage == Storage::input) report.input_bytes += plan.bytes[t];
    if (info.storage != Storage::arena || !life.used()) continue;
    change[life.first] += static_cast<std::ptrdiff_t>(plan.bytes[t]);
    change[life.last + 1] -= static_cast<std::ptrdiff_t>(plan.bytes[t]);
    if (life.first < program.backward_begin && life.last >= program.backward_begin) {
      report.saved_activation_bytes += plan.bytes[t];
    }
  }
  std::ptrdiff_t live = 0;
  for (std::size_t op = 0; op < program.ops.size(); ++op) {
    live += change[op];
    if (static_cast<std::size_t>(live) > report.live_peak_bytes) {
      report.live_peak_bytes = static_cast<std::size_t>(live);
      report.peak_op = describe(program, op);
    }
  }
  for (const FlatBuffer& flat : kFlatBuffers) {
    if (!program.holds(flat.storage)) continue;
    report.parameter_bytes +=
        sizeof(float) * static_cast<std::size_t>(program.flat_elements(flat.storage));
  }
  return report;
}

}  // namespace simclr
