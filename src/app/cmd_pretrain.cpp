#include <iostream>
#include <optional>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/report/report.hpp"
#include "simclr/train/pretrain_config.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {

int run_pretrain(Invocation& invocation) {
  PretrainConfig config;
  Options options("pretrain", "Pretrains an encoder with SimCLR: the main job.", {"pretrain"});
  config.declare(options);
  std::optional<DryRun> dry;
  options.group("instead of training")
      .action<DryRun>("dry-run", dry, {{"here", DryRun::here}, {"elsewhere", DryRun::elsewhere}},
                      "check all that can be checked before work begins, say in one line what "
                      "would be done, write nothing; exit code 0, or 2 with the refusal. here: "
                      "with the ranks, devices and memory of this start; elsewhere: without what "
                      "depends on machine and job (device, memory, time limit) and without MPI, "
                      "for login nodes");
  if (!invocation.parse(options)) return 0;
  if (dry) {
    const std::string line = dry_run(config, *dry, invocation.world);
    if (invocation.world.rank() == 0) std::cout << line << '\n';
    return 0;
  }
  const bool writes_report = invocation.world.rank() == 0;
  try {
    const int code = run_training(config, this_build(), invocation.world);
    if (writes_report) refresh_report(config.run_dir, Pairs::render);
    return code;
  } catch (const RefusedError&) {
    throw;
  } catch (const std::exception&) {
    // No pictures: other ranks wait for this one to end, and the data may have caused the failure.
    if (writes_report) refresh_report(config.run_dir, Pairs::leave_out);
    throw;
  }
}

}  // namespace simclr
