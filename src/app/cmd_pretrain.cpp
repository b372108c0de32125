#include <iostream>
#include <optional>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/names.hpp"
#include "simclr/report/report.hpp"
#include "simclr/train/pretrain_config.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {
namespace {

/// Says what can be done next with the run.
void log_next_step(const PretrainConfig& config, int code) {
  const auto word = [](const std::filesystem::path& path) { return shell_word(path.string()); };
  if (code == kExitStoppedEarly) {
    log::info("to go on: simclr pretrain --run-dir {}", word(config.run_dir));
    return;
  }
  const std::string test_data = config.eval_data.empty() ? "DIR" : word(config.eval_data);
  log::info(
      "report: {}; to evaluate: simclr linear-eval --checkpoint {} --train-data {} --test-data {}",
      (config.run_dir / "report.html").string(), word(config.run_dir), word(config.data),
      test_data);
}

}  // namespace

int run_pretrain(Invocation& invocation) {
  PretrainConfig config;
  Options options(
      "pretrain",
      "Pretrains an encoder with SimCLR: the main job. With --run-dir, and at most options "
      "that a resumed run may change, it goes on with the run in that directory, with "
      "the options stored there.",
      {"pretrain"});
  config.declare(options);
  std::optional<DryRun> dry;
  options.group("instead of training")
      .action<DryRun>("dry-run", dry, {{"here", DryRun::here}, {"elsewhere", DryRun::elsewhere}},
                      "check all that can be checked before work begins, say in one line what "
                      "would be done, write nothing; exit code 0, or 2 with the refusal. here: "
                      "with the ranks, devices and memory of this start; elsewhere: without what "
                      "depends on machine and job (device, memory, time limit) and without MPI, "
                      "for login nodes");
  continue_stored_run(options, config);
  options.example(
      "mpirun -n 8 simclr pretrain --config configs/imagenet-v1.cfg \\\n"
      "      --data shards/train --run-dir runs/r50");
  if (!invocation.parse(options)) return 0;
  stay_with_configuration(config, invocation.arguments);
  if (dry) {
    const std::string line = dry_run(config, *dry, invocation.world);
    if (invocation.world.rank() == 0) std::cout << line << '\n';
    return 0;
  }
  const bool writes_report = invocation.world.rank() == 0;
  try {
    const int code = run_training(config, this_build(), invocation.world);
    if (writes_report) refresh_report(config.run_dir, Pairs::render);
    log_next_step(config, code);
    return code;
  } catch (const std::exception& error) {
    // No pictures: other ranks wait for this one to end, and the data may have caused the failure.
    if (writes_report && !is_refusal(error)) refresh_report(config.run_dir, Pairs::leave_out);
    throw;
  }
}

}  // namespace simclr
