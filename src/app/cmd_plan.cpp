// Preflight on a login node: what a run takes, and whether it can run.

#include <iostream>
#include <optional>

#include "command.hpp"
#include "simclr/core/options.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/writable.hpp"
#include "simclr/plan/plan.hpp"
#include "training_command.hpp"

namespace simclr {
namespace {

// More than any machine or data set has: refuses numbers whose products overflow.
constexpr double kMostRanks = 1 << 20;
constexpr double kMostSamples = 1e12;
constexpr double kMostSampleBytes = 1e9;

void declare_plan_options(Options& options, PlanRequest& request,
                          std::optional<std::filesystem::path>& json) {
  options.group("plan")
      .add("ranks", request.ranks, "ranks of the job, one for each device")
      .range(at_least(1).at_most(kMostRanks))
      .add("ranks-per-node", request.ranks_per_node,
           "ranks of each node; 0: as many as a node has devices, 1 on a measured CPU")
      .range(at_least(0).at_most(kMostRanks))
      .add("machine", request.machine,
           "machine that the run is planned for. measured: this CPU, measured for at most 18 "
           "seconds; h100: nodes of 8 H100; FILE: limits that --write-machine wrote; empty: h100 "
           "with --device cuda, else measured")
      .argument("MACHINE")
      .add("write-machine", request.write_machine, "file to write the machine's limits to")
      .add("samples", request.samples, "number of images, in place of --data")
      .range(at_least(1).at_most(kMostSamples))
      .add("sample-bytes", request.sample_bytes, "bytes of a stored image, with --samples")
      .range(at_least(1).at_most(kMostSampleBytes))
      .add("node-memory-gb", request.node_memory_gb, "host memory of a node, GB")
      .range(above(0))
      .add("time-limit-minutes", request.time_limit_minutes, "time limit of the job, minutes")
      .range(above(0))
      .add("json", json, "file to write the plan to as JSON, beside the text on the terminal");
}

}  // namespace

int run_plan(Invocation& invocation) {
  PlanRequest request{.config = take_training_command(invocation)};
  std::optional<std::filesystem::path> json;
  Options options(
      "plan",
      std::string("What a run will take: memory, communication, time. Needs no device.") +
          kTrainingCommandHelp,
      {request.config->command(), "plan"});
  declare_plan_options(options, request, json);
  request.config->declare_without_data(options);
  request.config->declare(options);
  options.example(
      "simclr plan --config configs/imagenet-v1.cfg --samples 1281167 \\\n"
      "      --ranks 64 --machine h100");
  if (!options.parse(invocation.arguments)) return 0;
  request.config->note_given(options);
  if (json) require_likely_writable({.file = *json, .option = "json", .begins = "{"});
  if (!request.write_machine.empty()) {
    require_likely_writable(
        {.file = request.write_machine, .option = "write-machine", .begins = "{"});
  }
  const RunPlan plan = make_plan(request);
  std::cout << to_text(plan);
  if (json) {
    AtomicFile file(*json);
    file.write(to_json(plan));
    file.commit();
  }
  return 0;
}

}  // namespace simclr
