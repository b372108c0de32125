// Writes a plan as JSON, for programs.

#include <nlohmann/json.hpp>

#include "plan_parts.hpp"
#include "simclr/plan/plan.hpp"

namespace simclr {

using Json = nlohmann::ordered_json;

namespace {

Json rows_json(const std::vector<ScalingRow>& rows) {
  Json json = Json::array();
  for (const ScalingRow& row : rows) {
    Json one{{"devices", row.devices}, {"batch_size", row.batch}};
    if (row.problem.empty()) {
      one["seconds_step"] = row.step_seconds;
      one["images_per_second"] = row.images_per_second;
      one["efficiency"] = row.efficiency;
      one["seconds_exposed_communication"] = row.exposed_seconds;
    } else {
      one["problem"] = row.problem;
    }
    json.push_back(std::move(one));
  }
  return json;
}

Json memory_json(const RunPlan& run) {
  const MemoryPlan& m = run.memory;
  const bool on_cpu = run.machine.kind == DeviceKind::cpu;
  return {{"arena_bytes", m.arena},
          {"saved_activation_bytes_per_view", m.saved_per_view},
          {"workspace_bytes", m.workspace},
          {"workspace_is_allowance", m.workspace_is_allowance},
          {"parameter_bytes", m.parameters},
          {"weight_copy_bytes", m.weight_copies},
          {"input_bytes", m.inputs},
          {"device_library_bytes", m.device_libraries},
          {"device_bytes", m.on_device()},
          {"loader_bytes", m.loader},
          {"process_bytes", m.process},
          {"checkpoint_writing_bytes", m.checkpoint},
          {"host_bytes", m.on_host() + (on_cpu ? m.on_device() : 0)},
          {"cache_bytes_per_node", m.cache_per_node}};
}

Json traffic_json(const RunPlan& run) {
  Json json = Json::object();
  for (const plan::TrafficCount& t : run.traffic) {
    json[plan::name_of(t.traffic)] = {{"collectives", t.messages}, {"bytes", t.bytes}};
  }
  return json;
}

Json time_json(const RunPlan& run) {
  const plan::StepTime& t = run.step;
  Json traffic = Json::object();
  for (const auto& [kind, seconds] : t.by_traffic) traffic[plan::name_of(kind)] = seconds;
  return {{"seconds_step", t.total},
          {"seconds_compute", t.compute},
          {"seconds_exposed_communication", t.exposed_communication},
          {"core_seconds_rendering", t.rendering},
          {"seconds_by_op", t.by_verb},
          {"seconds_on_network", traffic},
          {"images_per_second", static_cast<double>(run.config.batch_size) / t.total},
          {"seconds_epoch", t.total * static_cast<double>(run.steps_per_epoch)},
          {"seconds_total", run.seconds()},
          {"node_hours", run.node_hours()}};
}

Json schedule_json(const RunPlan& run) {
  Json points = Json::array();
  for (const auto& [step, rate] : plan::learning_rate_points(run)) points.push_back({step, rate});
  return {{"steps_per_epoch", run.steps_per_epoch},     {"steps", run.steps},
          {"schedule_steps", run.schedule.total_steps}, {"warmup_steps", run.schedule.warmup_steps},
          {"peak_learning_rate", run.schedule.peak},    {"learning_rate", points}};
}

}  // namespace

std::string to_json(const RunPlan& run) {
  const Json json{
      {"encoder", run.config.encoder},
      {"precision", plan::precision_text(run.config.device.precision)},
      {"batch_size", run.config.batch_size},
      {"ranks", run.placement.ranks},
      {"ranks_per_node", run.placement.ranks_per_node},
      {"nodes", run.nodes()},
      {"threads", run.cores.compute},
      {"machine", {{"name", run.machine.name}, {"origin", run.machine.origin}}},
      {"data",
       {{"samples", run.data.samples}, {"bytes", run.data.bytes}, {"assumed", run.data.assumed}}},
      {"schedule", schedule_json(run)},
      {"parameters", {{"encoder", run.encoder_parameters}, {"head", run.head_parameters}}},
      {"checkpoint", {{"bytes", run.checkpoint_bytes}, {"kept", run.kept_checkpoints}}},
      {"memory", memory_json(run)},
      {"step",
       {{"flops", run.cost.flops}, {"bytes", run.cost.bytes}, {"traffic", traffic_json(run)}}},
      {"model", time_json(run)},
      {"strong_scaling", rows_json(run.strong)},
      {"weak_scaling", rows_json(run.weak)},
      {"notes", run.notes}};
  return json.dump(1) + "\n";
}

}  // namespace simclr
