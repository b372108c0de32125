#include <algorithm>

#include "plan_parts.hpp"
#include "simclr/core/check.hpp"
#include "step_model.hpp"

namespace simclr::plan {
namespace {

constexpr int kMaxDevices = 1024;

bool fits_device(const Program& program, const PretrainConfig& config, const RunPlan& run,
                 const Placement& placement) {
  if (!(run.machine.device_memory_gb > 0)) return true;
  const MemoryContext context{.config = config,
                              .data = run.data,
                              .placement = placement,
                              .kind = run.machine.kind,
                              .threads = run.cores.compute};
  return plan_memory(program, context, Workspace::leave_out).on_device() <=
         run.machine.device_memory_gb * kGiga;
}

ScalingRow make_row(const RunPlan& run, Scaling scaling, int devices) {
  PretrainConfig config = run.config;
  ScalingRow row{.devices = devices};
  if (scaling == Scaling::weak) {
    config.batch_size = run.config.batch_size / run.placement.ranks * devices;
  }
  row.batch = config.batch_size;
  if (row.batch > run.data.samples) {
    row.problem = "the batch is larger than the data set";
    return row;
  }
  if (row.batch % devices != 0) {
    row.problem = "the batch is not divisible by the devices";
    return row;
  }
  try {
    const Placement placement = place(config, devices, run.placement.ranks_per_node);
    const Program program = record_pretraining(config.program_spec(0, devices));
    if (!fits_device(program, config, run, placement)) {
      row.problem = "does not fit into a device's memory";
      return row;
    }
    const StepTime time = predict(program, config, run, placement);
    row.step_seconds = time.total;
    row.images_per_second = static_cast<double>(row.batch) / time.total;
    row.exposed_seconds = time.exposed_communication;
  } catch (const RefusedError&) {
    row.problem = "--bn-group does not match the ranks";
  }
  return row;
}

void set_efficiencies(std::vector<ScalingRow>& rows) {
  const auto rate = [](const ScalingRow& row) { return row.images_per_second / row.devices; };
  const auto first =
      std::ranges::find_if(rows, [](const auto& row) { return row.problem.empty(); });
  if (first == rows.end()) return;
  const double best = rate(*first);
  for (ScalingRow& row : rows) row.efficiency = rate(row) / best;
}

}  // namespace

Placement place(const PretrainConfig& config, int ranks, int ranks_per_node) {
  return {.ranks = ranks,
          .ranks_per_node = std::min(ranks, ranks_per_node),
          .bn_ranks = config.batch_norm_spec(ranks).ranks_per_group};
}

StepTime predict(const Program& program, const PretrainConfig& config, const RunPlan& run,
                 const Placement& placement) {
  const double views = 2.0 * static_cast<double>(config.batch_size) / placement.ranks;
  const bool on_host = run.machine.kind == DeviceKind::cpu;
  const double rendering =
      on_host ? views * rendering_seconds_per_view(config.augmentation(), run.machine) : 0;
  return predict_step(program, run.machine, placement, run.cores, rendering);
}

std::vector<ScalingRow> scaling_table(const RunPlan& run, Scaling scaling) {
  std::vector<ScalingRow> rows;
  for (int devices = 1; devices <= kMaxDevices; devices *= 2) {
    rows.push_back(make_row(run, scaling, devices));
  }
  set_efficiencies(rows);
  return rows;
}

}  // namespace simclr::plan
