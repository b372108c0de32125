// Writes a plan as text, for people, and as JSON, for programs.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/foreign_text.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/plan/plan.hpp"
#include "step_model.hpp"

namespace simclr {
namespace {

using Json = nlohmann::ordered_json;
using plan::kGiga;
using plan::kMega;
constexpr double kMilli = 1e-3;

/// (step, learning rate) at the first step, the end of the warm-up, halfway from there, and the
/// last step.
std::vector<std::pair<std::int64_t, double>> learning_rate_points(const RunPlan& run) {
  const std::int64_t total = run.schedule.total_steps;
  const std::int64_t warmup = std::min(run.schedule.warmup_steps, total - 1);
  const std::int64_t left = total - 1 - warmup;
  std::vector<std::pair<std::int64_t, double>> points;
  for (const std::int64_t step : {std::int64_t{0}, warmup, warmup + left / 2, total - 1}) {
    if (!points.empty() && step <= points.back().first) continue;
    points.emplace_back(step, run.schedule.learning_rate(step));
  }
  return points;
}

const char* precision_text(Precision precision) {
  require(precision != Precision::automatic, "the precision of a plan must be resolved");
  constexpr std::array kNames{"auto", "fp32", "bf16", "fp16"};
  return kNames.at(static_cast<std::size_t>(precision));
}

template <class... Args>
std::string line(const char* label, fmt::format_string<Args...> format, Args&&... args) {
  return fmt::format("  {:<22} {}\n", label, fmt::format(format, std::forward<Args>(args)...));
}

std::string bytes_text(double bytes) {
  if (bytes >= 10 * kGiga) return fmt::format("{:.1f} GB", bytes / kGiga);
  if (bytes >= kGiga) return fmt::format("{:.2f} GB", bytes / kGiga);
  if (bytes >= kMega) return fmt::format("{:.1f} MB", bytes / kMega);
  if (bytes >= 1e3) return fmt::format("{:.1f} kB", bytes / 1e3);
  return fmt::format("{:.0f} B", bytes);
}

std::string duration_text(double seconds) {
  if (seconds < 1) return fmt::format("{:.2f} ms", seconds / kMilli);
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  if (seconds < 2 * 3600) return fmt::format("{:.1f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

/// "25.4 ms", or "25.4 ms to 61.2 ms" for a machine that was not measured.
std::string range_text(double seconds, double ratio) {
  if (!(ratio > 1)) return duration_text(seconds);
  return fmt::format("{} to {}", duration_text(seconds), duration_text(seconds * ratio));
}

/// The rate, or its range from low to high.
std::string rate_text(double rate, double ratio) {
  constexpr double kWhole = 100;
  const auto text = [](double r) {
    return r < kWhole ? fmt::format("{:.3g}", r) : fmt::format("{:.0f}", r);
  };
  return ratio > 1 ? fmt::format("{}-{}", text(rate / ratio), text(rate)) : text(rate);
}

std::string learning_rate_text(const RunPlan& run) {
  std::string text;
  for (const auto& [step, rate] : learning_rate_points(run)) {
    text += fmt::format("{}{:.4g} at {}", text.empty() ? "" : ", ", rate, step);
  }
  return fmt::format("peak {:.4g}; {}", run.schedule.peak, text);
}

std::string run_section(const RunPlan& run) {
  const EncoderTraining& c = *run.config;
  std::string text =
      fmt::format("plan: {} x{:g} at {} px, batch {}, on {} {}{} ({} node{}), {}\n", c.encoder,
                  c.width, c.image_size, c.batch_size, run.placement.ranks,
                  run.machine.kind == DeviceKind::cuda ? "GPU" : "CPU rank",
                  run.placement.ranks == 1 ? "" : "s", run.nodes(), run.nodes() == 1 ? "" : "s",
                  precision_text(c.device.precision));
  text += fmt::format("machine: {} ({})\n\nrun\n", printable(run.machine.name),
                      printable(run.machine.origin));
  text += line("data", "{} images, {}{}", run.data.samples, bytes_text(run.data.bytes),
               run.data.assumed ? " (assumed)" : "");
  text += line("steps", "{} per epoch, {} in total{}", run.steps_per_epoch, run.steps,
               run.steps < run.schedule.total_steps
                   ? fmt::format(" (of a schedule of {})", run.schedule.total_steps)
                   : "");
  text += line("learning rate", "{}", learning_rate_text(run));
  text += line("parameters", "{:.2f} M: encoder {:.2f} M, head {:.2f} M",
               static_cast<double>(run.encoder_parameters + run.head_parameters) / kMega,
               static_cast<double>(run.encoder_parameters) / kMega,
               static_cast<double>(run.head_parameters) / kMega);
  text += line("checkpoint", "{} per file; {} kept at the end: {}",
               bytes_text(run.checkpoint_bytes), run.kept_checkpoints,
               bytes_text(run.checkpoint_bytes * static_cast<double>(run.kept_checkpoints)));
  return text;
}

std::string memory_section(const RunPlan& run) {
  const MemoryPlan& m = run.memory;
  const bool gpu = run.machine.kind == DeviceKind::cuda;
  std::string text = fmt::format("\nmemory per {}\n", gpu ? "GPU" : "rank");
  text += line("activations", "{} ({} saved per view)", bytes_text(m.arena),
               bytes_text(m.saved_per_view));
  text += line("workspace", "{}{}", bytes_text(m.workspace),
               m.workspace_is_allowance ? " (an allowance)" : "");
  text += line("parameters", "{}, with gradients and optimizer{}",
               bytes_text(m.parameters + m.weight_copies),
               m.weight_copies > 0 ? ", and 16-bit copies" : "");
  text += line("inputs", "{}", bytes_text(m.inputs));
  if (gpu) {
    text += line("libraries", "{} (an allowance)", bytes_text(m.device_libraries));
    text +=
        line("total", "{} of {:.0f} GB", bytes_text(m.on_device()), run.machine.device_memory_gb);
    text += "host memory per rank\n";
  }
  text += line("loader", "{}", bytes_text(m.loader));
  text += line("process", "{}, and {} while rank 0 writes a checkpoint", bytes_text(m.process),
               bytes_text(m.checkpoint));
  if (m.measuring > 0) {
    text += line("monitors", "{}, and {} on the device, while they measure",
                 bytes_text(m.measuring), bytes_text(m.measuring_programs));
  }
  text += line("total", "{}", bytes_text(m.on_host() + (gpu ? 0 : m.on_device())));
  const bool spread = m.cache_per_node > 0 && m.cache_per_node < run.data.bytes;
  text += line("data cache", "{} per node{}", bytes_text(m.cache_per_node),
               spread ? ", distributed over the ranks" : "");
  return text;
}

std::string count_section(const RunPlan& run) {
  std::string text = "\nwork of a step, per device\n";
  text += line("arithmetic", "{:.2f} GFLOP", run.cost.flops / kGiga);
  text += line("memory traffic", "{}", bytes_text(run.cost.bytes));
  for (const plan::TrafficCount& t : run.traffic) {
    text += line(plan::name_of(t.traffic), "{} collective{}, {}", t.messages,
                 t.messages == 1 ? "" : "s", bytes_text(t.bytes));
  }
  return text;
}

std::string time_section(const RunPlan& run) {
  const plan::StepTime& t = run.step;
  const double ratio = run.slowest_ratio();
  std::string text = fmt::format("\ntime of a step (a model): {}\n", range_text(t.total, ratio));
  std::vector<std::pair<std::string, double>> verbs(t.by_verb.begin(), t.by_verb.end());
  std::ranges::sort(verbs, std::ranges::greater{}, &std::pair<std::string, double>::second);
  constexpr std::size_t kShown = 6;
  double rest = t.compute;
  for (std::size_t i = 0; i < std::min(kShown, verbs.size()); ++i) {
    text += line(verbs[i].first.c_str(), "{}", duration_text(verbs[i].second));
    rest -= verbs[i].second;
  }
  text += line("other ops", "{}", duration_text(rest));
  if (t.rendering > 0)
    text += line("rendering", "{} of a core, at the same time", duration_text(t.rendering));
  text += line("communication", "{} exposed", duration_text(t.exposed_communication));
  text += line("rate", "{} images/s",
               rate_text(static_cast<double>(run.config->batch_size) / t.total, ratio));
  text += line("one epoch", "{}",
               range_text(t.total * static_cast<double>(run.steps_per_epoch), ratio));
  text +=
      line("all steps", "{}, {:.1f}{} node-hours", range_text(run.seconds(), ratio),
           run.node_hours(), ratio > 1 ? fmt::format(" to {:.1f}", run.node_hours() * ratio) : "");
  return text;
}

std::string scaling_section(const char* title, const std::vector<ScalingRow>& rows) {
  std::string text = fmt::format("\n{}\n  {:>7} {:>9} {:>22} {:>15} {:>10} {:>10}\n", title,
                                 "devices", "batch", "step", "images/s", "efficiency", "exposed");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ScalingRow& row = rows[i];
    if (!row.problem.empty()) {
      while (i + 1 < rows.size() && rows[i + 1].problem == row.problem) ++i;
      text +=
          fmt::format("  {:>7} {}{}\n", row.devices,
                      rows[i].devices > row.devices ? fmt::format("to {}: ", rows[i].devices) : "",
                      row.problem);
      continue;
    }
    const double ratio = row.slowest_seconds / row.step_seconds;
    text +=
        fmt::format("  {:>7} {:>9} {:>22} {:>15} {:>8.0f} % {:>10}\n", row.devices, row.batch,
                    range_text(row.step_seconds, ratio), rate_text(row.images_per_second, ratio),
                    100 * row.efficiency, duration_text(row.exposed_seconds));
  }
  return text;
}

Json rows_json(const std::vector<ScalingRow>& rows) {
  Json json = Json::array();
  for (const ScalingRow& row : rows) {
    Json one{{"devices", row.devices}, {"batch_size", row.batch}};
    if (row.problem.empty()) {
      one["seconds_step"] = row.step_seconds;
      one["seconds_step_at_most"] = row.slowest_seconds;
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
          {"measuring_bytes", m.measuring},
          {"measuring_device_bytes", m.measuring_programs},
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
          {"seconds_step_at_most", run.slowest_seconds},
          {"seconds_compute", t.compute},
          {"seconds_exposed_communication", t.exposed_communication},
          {"core_seconds_rendering", t.rendering},
          {"seconds_by_op", t.by_verb},
          {"seconds_on_network", traffic},
          {"images_per_second", static_cast<double>(run.config->batch_size) / t.total},
          {"seconds_epoch", t.total * static_cast<double>(run.steps_per_epoch)},
          {"seconds_total", run.seconds()},
          {"node_hours", run.node_hours()},
          {"node_hours_at_most", run.node_hours() * run.slowest_ratio()}};
}

Json schedule_json(const RunPlan& run) {
  Json points = Json::array();
  for (const auto& [step, rate] : learning_rate_points(run)) points.push_back({step, rate});
  return {{"steps_per_epoch", run.steps_per_epoch},     {"steps", run.steps},
          {"schedule_steps", run.schedule.total_steps}, {"warmup_steps", run.schedule.warmup_steps},
          {"peak_learning_rate", run.schedule.peak},    {"learning_rate", points}};
}

}  // namespace

std::string to_text(const RunPlan& run) {
  std::string text =
      run_section(run) + memory_section(run) + count_section(run) + time_section(run);
  text += scaling_section("strong scaling, the same global batch (a model)", run.strong);
  text += scaling_section("weak scaling, the same batch per device (a model)", run.weak);
  text += "\n";
  for (const std::string& warning : run.warnings) text += fmt::format("warning: {}\n", warning);
  for (const std::string& note : run.notes) text += fmt::format("note: {}\n", note);
  return text;
}

std::string to_json(const RunPlan& run) {
  const Json json{
      {"encoder", run.config->encoder},
      {"precision", precision_text(run.config->device.precision)},
      {"batch_size", run.config->batch_size},
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
      {"warnings", run.warnings},
      {"notes", run.notes}};
  return json_text(json, 1) + "\n";
}

}  // namespace simclr
