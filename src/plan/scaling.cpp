#include <algorithm>

#include "plan_parts.hpp"
#include "simclr/core/check.hpp"
#include "step_model.hpp"

namespace simclr::plan {
namespace {

constexpr int kMaxDevices = 1024;

std::string shortage_of(const Program& program, const EncoderTraining& config, const RunPlan& run,
                        const Placement& placement) {
  MemoryPlan memory =
      plan_memory(program, memory_context(run, config, placement), Workspace::leave_out);
  if (!memory.workspace_is_allowance) memory.workspace = run.memory.workspace;
  return shortage(run.machine, placement, memory);
}

StepTime predict_on(const Machine& machine, const Program& program, const EncoderTraining& config,
                    const RunPlan& run, const Placement& placement) {
  const double views =
      config.views_per_sample() * static_cast<double>(config.batch_size) / placement.ranks;
  const double rendering = machine.kind == DeviceKind::cpu
                               ? views * rendering_seconds_per_view(config.augmentation(), machine)
                               : 0;
  return predict_step(program, machine, placement, run.cores, rendering);
}

ScalingRow make_row(const RunPlan& run, Scaling scaling, int devices) {
  AnyTraining config = run.config;
  ScalingRow row{.devices = devices};
  if (scaling == Scaling::weak) {
    config->batch_size = run.config->batch_size / run.placement.ranks * devices;
  }
  row.batch = config->batch_size;
  if (row.batch > run.data.samples) {
    row.problem = "the batch is larger than the data set";
    return row;
  }
  if (row.batch % devices != 0) {
    row.problem = "the batch is not divisible by the devices";
    return row;
  }
  try {
    const Placement placement = place(*config, devices, run.placement.ranks_per_node);
    const Program program = config->task(0, devices).program;
    row.problem = shortage_of(program, *config, run, placement);
    if (!row.problem.empty()) return row;
    const StepTime time = predict(program, *config, run, placement);
    row.step_seconds = time.total;
    row.slowest_seconds = slowest_step_seconds(program, *config, run, placement);
    row.images_per_second = static_cast<double>(row.batch) / time.total;
    row.exposed_seconds = time.exposed_communication;
  } catch (const RefusedError&) {
    row.problem = "--bn-group does not match the ranks";
  }
  return row;
}

// The best row counts as 100 %, which need not be the first: smaller tensors stay in a CPU's
// caches.
void set_efficiencies(std::vector<ScalingRow>& rows) {
  double best = 0;
  const auto rate = [](const ScalingRow& row) { return row.images_per_second / row.devices; };
  for (const ScalingRow& row : rows) best = std::max(best, rate(row));
  for (ScalingRow& row : rows) {
    if (row.problem.empty()) row.efficiency = rate(row) / best;
  }
}

}  // namespace

Placement place(const EncoderTraining& config, int ranks, int ranks_per_node) {
  return {.ranks = ranks,
          .ranks_per_node = std::min(ranks, ranks_per_node),
          .bn_ranks = config.batch_norm_spec(ranks).ranks_per_group};
}

StepTime predict(const Program& program, const EncoderTraining& config, const RunPlan& run,
                 const Placement& placement) {
  return predict_on(run.machine, program, config, run, placement);
}

double slowest_step_seconds(const Program& program, const EncoderTraining& config,
                            const RunPlan& run, const Placement& placement) {
  Machine slow = run.machine;
  slow.op_start_us *= slow.slowdown;
  for (Efficiency& e : slow.efficiencies) e.share /= slow.slowdown;
  return predict_on(slow, program, config, run, placement).total;
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
