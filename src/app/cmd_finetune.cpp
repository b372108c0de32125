// Training with labels, from pretrained weights and from scratch, and from a teacher.

#include "command.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/names.hpp"
#include "simclr/eval/classifier_evaluation.hpp"
#include "simclr/train/training_job.hpp"
#include "training_command.hpp"

namespace simclr {
namespace {

int run(Invocation& invocation, ClassifierConfig& config, Options& options) {
  config.measure_at_end = [&](const auto& goes_on) {
    return evaluate_run(config, goes_on, invocation.world);
  };
  return run_training_command(invocation, config, options, {"eval-data"}, [&](int code) {
    if (code != kExitStoppedEarly) return;
    log::info("to go on: simclr {} --run-dir {}", config.command(),
              shell_word(config.run_dir.string()));
  });
}

}  // namespace

int run_finetune(Invocation& invocation) {
  FinetuneConfig config;
  Options options(
      "finetune",
      "Trains a pretrained encoder and a linear classifier on labeled images, or on few of them, "
      "and measures its accuracy after the last epoch. With --run-dir, and at most options that a "
      "resumed run may change, it goes on with the run in that directory.",
      {"finetune"});
  options.example(
      "mpirun -n 8 simclr finetune --checkpoint runs/r50 --data shards/train \\\n"
      "      --eval-data shards/test --label-fraction 0.01 --run-dir runs/r50-1-percent");
  return run(invocation, config, options);
}

int run_supervised(Invocation& invocation) {
  SupervisedConfig config;
  Options options(
      "supervised",
      "Trains an encoder and a linear classifier on labeled images from random weights, and "
      "measures its accuracy after the last epoch. With --run-dir, and at most options that a "
      "resumed run may change, it goes on with the run in that directory.",
      {"supervised"});
  options.example(
      "mpirun -n 8 simclr supervised --data shards/train --eval-data shards/test \\\n"
      "      --run-dir runs/r50-supervised");
  return run(invocation, config, options);
}

int run_distill(Invocation& invocation) {
  DistillConfig config;
  Options options(
      "distill",
      "Trains an encoder and a linear classifier on what a model that was trained with labels says "
      "of images, which need no labels themselves, and measures its accuracy after the last epoch. "
      "With --run-dir, and at most options that a resumed run may change, it goes on with the run "
      "in that directory.",
      {"distill"});
  options.example(
      "mpirun -n 8 simclr distill --teacher runs/r152-10-percent --encoder resnet50 \\\n"
      "      --data shards/train --eval-data shards/test --run-dir runs/r50-distilled");
  return run(invocation, config, options);
}

}  // namespace simclr
