#include "simclr/eval/linear.hpp"

#include <algorithm>

#include "simclr/backend/host_memory.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/options.hpp"
#include "simclr/train/trainer.hpp"

namespace simclr {
namespace {

std::int64_t local_batch(const LinearAugmentedConfig& config, const Communicator& world) {
  return config.batch_size / world.size();
}

Task probe_task(const FrozenEncoder& encoder, const LinearAugmentedConfig& config,
                const Communicator& world) {
  const OptimizerSpec optimizer{
      .kind = OptimizerKind::sgd, .momentum = 0.9F, .weight_decay = 0, .nesterov = true};
  return {.program = record_classifier({.encoder = encoder.model().encoder,
                                        .frozen_groups = kEncoderGroups,
                                        .batch = local_batch(config, world),
                                        .image_size = encoder.model().image_size,
                                        .activations = config.activations,
                                        .classes = config.classes,
                                        .global_batch = config.batch_size,
                                        .optimizer = optimizer,
                                        .world_size = world.size(),
                                        .bucket_bytes = 0}),
          .objective = cross_entropy_objective(config.batch_size, config.classes),
          .inputs = {views_input(), labels_input()},
          .optimizer = optimizer,
          .advice = "lower --learning-rate or check the data"};
}

LoaderConfig training_images(const FrozenEncoder& encoder, const LinearAugmentedConfig& config,
                             std::int64_t steps, HostMemory& memory, const Communicator& world) {
  const ModelDescription& model = encoder.model();
  auto augmentation = linear_evaluation_augmentation(static_cast<int>(model.image_size));
  augmentation.mean = model.mean;
  augmentation.std = model.std;
  return {.augmentation = augmentation,
          .seed = config.seed,
          .batch_size = config.batch_size,
          .views_per_sample = 1,
          .view_type = config.activations,
          .rank = world.rank(),
          .world_size = world.size(),
          .threads = config.threads,
          .end_step = steps,
          .memory = &memory};
}

/// Trains the classifier; returns the mean loss of the last epoch.
double train_probe(Trainer& trainer, TrainingLoader& loader, std::int64_t steps_per_epoch,
                   std::int64_t epochs) {
  trainer.stage(loader.next());
  double loss = 0;
  for (std::int64_t epoch = 1; epoch <= epochs; ++epoch) {
    double top1 = loss = 0;
    for (std::int64_t i = 1; i <= steps_per_epoch; ++i) {
      trainer.start_step((epoch - 1) * steps_per_epoch + i - 1);
      if (epoch < epochs || i < steps_per_epoch) trainer.stage(loader.next());
      const StepResult result = trainer.finish_step();
      if (result.not_finite) {
        loader.return_to(result.step);
        trainer.stage(loader.next());
        trainer.explain_not_finite(result);
      }
      loss += result.metrics[0] / static_cast<double>(steps_per_epoch);
      top1 += result.metrics[1] / static_cast<double>(steps_per_epoch);
    }
    log::info("linear-augmented: epoch {} of {}, loss {:.4f}, train top-1 {:.2f} %", epoch, epochs,
              loss, 100 * top1);
  }
  return loss;
}

}  // namespace

double augmented_classifier_bytes(std::int64_t local_batch, std::int64_t channels,
                                  std::int64_t classes) {
  const double per_parameter = 3 * sizeof(float);  // with gradient and momentum
  const double logits = 2 * sizeof(float);         // and their gradient
  return static_cast<double>(classes) * (static_cast<double>(channels + 1) * per_parameter +
                                         static_cast<double>(local_batch) * logits);
}

void validate(const LinearAugmentedConfig& config, std::int64_t train_samples, int ranks) {
  if (config.batch_size > train_samples) {
    refuse_value("batch-size", value_text(config.batch_size),
                 fmt::format("at most {}, the number of training samples", train_samples));
  }
  if (config.batch_size % ranks != 0) {
    refuse_value("batch-size", value_text(config.batch_size),
                 fmt::format("a multiple of {}, the number of ranks", ranks));
  }
}

LinearAugmentedResult linear_augmented(const FrozenEncoder& encoder, SampleStore& train,
                                       SampleStore& test, const LinearAugmentedConfig& config,
                                       Backend& backend, Communicator& world) {
  validate(config, train.info().samples, world.size());
  const std::int64_t steps_per_epoch = train.info().samples / config.batch_size;
  const Schedule schedule{.peak = scaled_learning_rate(
                              config.learning_rate, LearningRateScaling::linear, config.batch_size),
                          .warmup_steps = 0,
                          .total_steps = steps_per_epoch * config.epochs};
  Trainer trainer(probe_task(encoder, config, world),
                  {.schedule = schedule,
                   .seed = config.seed,
                   .loaded = {Part::encoder},
                   .threads = config.threads},
                  backend, world);
  encoder.load_into(trainer.executor());
  LinearAugmentedResult result{.steps = schedule.total_steps};
  result.encoder_hash_before = encoder_hash(trainer.executor());
  {
    HostMemory memory(backend);
    TrainingLoader loader(train,
                          training_images(encoder, config, schedule.total_steps, memory, world));
    result.train_loss = train_probe(trainer, loader, steps_per_epoch, config.epochs);
  }
  EvaluationLoader loader(
      test, evaluation_images(encoder.model(), config.activations, local_batch(config, world),
                              config.threads, world));
  result.test =
      classify_images(trainer.executor(), loader, config.keep, [] { return true; }).value();
  result.encoder_hash_after = encoder_hash(trainer.executor());
  if (result.encoder_hash_after != result.encoder_hash_before) {
    fail("the frozen encoder changed during linear evaluation: hash {} before, {} after",
         result.encoder_hash_before, result.encoder_hash_after);
  }
  return result;
}

}  // namespace simclr
