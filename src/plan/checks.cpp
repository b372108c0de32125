#include <algorithm>
#include <cmath>

#include "plan_parts.hpp"
#include "simclr/core/check.hpp"
#include "step_model.hpp"

namespace simclr::plan {
namespace {

void require_checkpoints(const EncoderTraining& config) {
  if (config.checkpoint_every_epochs > 0 || config.checkpoint_every_minutes > 0) return;
  refuse(
      "options --checkpoint-every-epochs and --checkpoint-every-minutes: both are 0: a job that is "
      "lost would start from the beginning; set one of them");
}

/// Memory of the same run with another batch or recomputation.
MemoryPlan memory_of(const RunPlan& run, std::int64_t local_samples, Recompute recompute) {
  AnyTraining config = run.config;
  config->batch_size = local_samples * run.placement.ranks;
  config->bn_group = run.placement.bn_ranks > 1 ? "global" : "local";
  config->recompute = recompute;
  const Program program = config->task(0, run.placement.ranks).program;
  MemoryPlan memory =
      plan_memory(program, memory_context(run, *config, run.placement), Workspace::leave_out);
  if (!memory.workspace_is_allowance) memory.workspace = run.memory.workspace;
  return memory;
}

/// Memory of all ranks of a node, one of which may write a checkpoint.
double node_bytes(const Machine& machine, const Placement& placement, const MemoryPlan& memory) {
  const bool on_cpu = machine.kind == DeviceKind::cpu;
  const double rank =
      (on_cpu ? memory.on_device() : 0) + memory.loader + memory.process + memory.measuring;
  return placement.ranks_per_node * rank + memory.checkpoint + memory.cache_per_node;
}

bool fits(const RunPlan& run, const MemoryPlan& memory) {
  return shortage(run.machine, run.placement, memory).empty();
}

/// The largest local batch that fits into memory; 0 if none does.
std::int64_t largest_local_batch(const RunPlan& run, Recompute recompute) {
  std::int64_t fit = 0;
  std::int64_t too_large = run.config->batch_size / run.placement.ranks;
  while (too_large - fit > std::max<std::int64_t>(1, fit / 64)) {
    const std::int64_t middle = (fit + too_large) / 2;
    (fits(run, memory_of(run, middle, recompute)) ? fit : too_large) = middle;
  }
  constexpr std::int64_t kMultiple = 8;
  return fit > kMultiple ? fit - fit % kMultiple : fit;
}

/// "use --recompute blocks (31.2 GB per rank), or --batch-size 4096 on 16 ranks, or more ranks".
std::string advice(const RunPlan& run) {
  std::string text;
  const std::int64_t local = run.config->batch_size / run.placement.ranks;
  if (run.config->recompute == Recompute::none) {
    const MemoryPlan recomputed = memory_of(run, local, Recompute::blocks);
    if (fits(run, recomputed)) {
      text = fmt::format("--recompute blocks ({:.1f} GB per rank)", recomputed.on_device() / kGiga);
    }
  }
  const std::int64_t largest = largest_local_batch(run, run.config->recompute);
  const std::string separator = text.empty() ? "" : ", or ";
  if (largest == 0) return text.empty() ? "no batch fits; use a smaller encoder" : "use " + text;
  return fmt::format("use {}{}--batch-size {} on {} ranks, or more ranks", text, separator,
                     largest * run.placement.ranks, run.placement.ranks);
}

void require_cache(const RunPlan& run) {
  const double node = run.machine.node_memory_gb * kGiga;
  if (run.memory.cache_per_node <= plan::kCacheShare * node) return;
  refuse(
      "option --cache: the data set needs {:.1f} GB per node, but a node has {:.1f} GB; use "
      "{}--cache none with --shuffle block, nodes with more memory, or smaller images (pack "
      "--resize-short)",
      run.memory.cache_per_node / kGiga, run.machine.node_memory_gb,
      run.config->cache == CacheMode::node ? "--cache distributed, " : "more nodes, ");
}

}  // namespace

std::string shortage(const Machine& machine, const Placement& placement, const MemoryPlan& memory) {
  if (machine.device_memory_gb > 0 && memory.on_device() > machine.device_memory_gb * kGiga) {
    return "does not fit into a device's memory";
  }
  const double node = machine.node_memory_gb * kGiga;
  if (!(node > 0)) return "";
  if (memory.cache_per_node > kCacheShare * node) {
    return "the data set does not fit into a node's memory";
  }
  if (node_bytes(machine, placement, memory) > node) return "does not fit into a node's memory";
  return "";
}

void validate_request(const PlanRequest& request) {
  request.config->validate();
  if (request.config->data.empty() == !request.samples) {
    refuse(
        "options --data and --samples: give one of them, a directory of shards or the number of "
        "images");
  }
  require_checkpoints(*request.config);
}

void require_memory(const RunPlan& run) {
  const Machine& machine = run.machine;
  const double device = run.memory.on_device();
  if (machine.device_memory_gb > 0 && device > machine.device_memory_gb * kGiga) {
    refuse("a device needs {:.1f} GB but has {:.1f} GB: {}", device / kGiga,
           machine.device_memory_gb, advice(run));
  }
  if (!(machine.node_memory_gb > 0)) return;
  require_cache(run);
  if (fits(run, run.memory)) return;
  refuse("the {} ranks of a node need {:.1f} GB with the cache, but a node has {:.1f} GB: {}",
         run.placement.ranks_per_node, node_bytes(machine, run.placement, run.memory) / kGiga,
         machine.node_memory_gb, advice(run));
}

void require_checkpoint_in_time(const RunPlan& run, double limit_minutes) {
  const EncoderTraining& c = *run.config;
  double minutes = run.seconds() / kSecondsPerMinute;
  if (c.checkpoint_every_epochs > 0) {
    const auto steps = static_cast<double>(c.checkpoint_every_epochs * run.steps_per_epoch);
    minutes = std::min(minutes, steps * run.step.total / kSecondsPerMinute);
  }
  if (c.checkpoint_every_minutes > 0) minutes = std::min(minutes, c.checkpoint_every_minutes);
  if (c.stop_before_minutes) {
    minutes = std::min(minutes, std::max(0.0, limit_minutes - *c.stop_before_minutes));
  }
  if (minutes < limit_minutes) return;
  refuse(
      "option --time-limit-minutes: {:.3g} minutes end the job before its first checkpoint, which "
      "comes after about {:.3g} minutes; use a lower --checkpoint-every-minutes, or "
      "--stop-before-minutes",
      limit_minutes, minutes);
}

}  // namespace simclr::plan
