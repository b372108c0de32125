// Preflight on a login node: what a run takes, and whether it can run at all.

#include <iostream>
#include <optional>

#include "command.hpp"
#include "output_file.hpp"
#include "simclr/core/options.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/plan/plan.hpp"

namespace simclr {
namespace {

void declare_plan_options(Options& options, PlanRequest& request,
                          std::optional<std::filesystem::path>& json) {
  options.group("plan")
      .add("ranks", request.ranks, "devices of the job, one rank each")
      .add("ranks-per-node", request.ranks_per_node,
           "devices of a node; 0: as many as the machine has, one on a measured CPU")
      .add("machine", request.machine,
           "measured (this CPU, about ten seconds), h100, or a file of limits; by default by "
           "--device: h100 for cuda, else measured")
      .add("write-machine", request.write_machine, "keep the machine's limits in this file")
      .add("samples", request.samples, "images of the data set, where --data is not there")
      .add("sample-bytes", request.sample_bytes, "of a stored image, with --samples")
      .add("node-memory-gb", request.node_memory_gb, "host memory of a node")
      .add("time-limit-minutes", request.time_limit_minutes, "of the job")
      .add("json", json, "write the plan to this file, too");
}

}  // namespace

int run_plan(Invocation& invocation) {
  PlanRequest request;
  std::optional<std::filesystem::path> json;
  Options options("plan",
                  "What a run of pretrain will take: memory, communication, time. Needs no device.",
                  {"pretrain", "plan"});
  declare_plan_options(options, request, json);
  declare_pretrain_options(options, request.config);
  if (!options.parse(invocation.arguments)) return 0;
  if (json) require_directory_of(*json, "json");
  if (!request.write_machine.empty()) require_directory_of(request.write_machine, "write-machine");
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
