#include "command.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/names.hpp"
#include "simclr/eval/monitored_pretraining.hpp"
#include "simclr/train/training_job.hpp"
#include "training_command.hpp"

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
  MonitoredPretraining config;
  Options options(
      "pretrain",
      "Pretrains an encoder with SimCLR: the main job. With --run-dir, and at most options "
      "that a resumed run may change, it goes on with the run in that directory, with "
      "the options stored there.",
      {"pretrain"});
  options.example(
      "mpirun -n 8 simclr pretrain --config configs/imagenet-v1.cfg \\\n"
      "      --data shards/train --run-dir runs/r50");
  return run_training_command(invocation, config, options, {},
                              [&](int code) { log_next_step(config, code); });
}

}  // namespace simclr
