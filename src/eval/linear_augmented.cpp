#include "simclr/eval/linear_augmented.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include "simclr/backend/host_memory.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/options.hpp"

namespace simclr {
namespace {

OptimizerSpec probe_optimizer() {
  return {.kind = OptimizerKind::sgd, .momentum = 0.9F, .weight_decay = 0, .nesterov = true};
}

/// Sums over samples: cross-entropy, top-1 hits, top-5 hits, samples.
using ClassSums = std::array<double, 4>;

/// The program of record_linear_probe on this rank's part of each batch.
class Probe {
 public:
  Probe(const FrozenEncoder& encoder, const LinearAugmentedConfig& config, Backend& backend,
        Communicator& world)
      : world_(backend.make_communicator(world, Lane::compute)),
        gradient_lane_(backend.make_communicator(world, Lane::gradients)),
        local_batch_(config.batch_size / world.size()),
        executor_(record_linear_probe({.features = {.encoder = encoder.model().encoder,
                                                    .batch = local_batch_,
                                                    .image_size = encoder.model().image_size,
                                                    .activations = config.activations},
                                       .classes = config.classes,
                                       .global_batch = config.batch_size,
                                       .optimizer = probe_optimizer(),
                                       .world_size = world.size()}),
                  backend, {.world = world_.get(), .gradient_lane = gradient_lane_.get()},
                  {.stage_inputs = true}),
        labels_(static_cast<std::size_t>(local_batch_)) {
    encoder.load_into(executor_);
  }

  [[nodiscard]] const Executor& executor() const { return executor_; }
  [[nodiscard]] std::int64_t local_batch() const { return local_batch_; }

  void stage(const ViewBatch& batch) {
    stage(batch.views.span(), std::span<const std::int32_t>(batch.labels));
  }
  /// Trains on the staged batch; its sums() may wait until the next one is staged.
  void start_step(const std::array<float, 4>& control) {
    executor_.commit();
    executor_.upload(program().at("control"), const_buffer_span(std::span<const float>(control)));
    executor_.run_all();
  }
  [[nodiscard]] ClassSums sums() const {
    ClassSums result{};
    executor_.download(program().at("class_sums"), buffer_span(std::span<double>(result)));
    return result;
  }

  ClassSums measure(const EvaluationBatch& batch) {
    const auto rest = std::copy(batch.labels.begin(), batch.labels.end(), labels_.begin());
    std::fill(rest, labels_.end(), kPaddingLabel);
    stage(batch.images.span(), labels_);
    executor_.commit();
    executor_.run_forward();
    return sums();
  }

 private:
  [[nodiscard]] const Program& program() const { return executor_.program(); }

  void stage(ConstBufferSpan images, std::span<const std::int32_t> labels) {
    executor_.stage(program().at("views"), images);
    executor_.stage(program().at("labels"), const_buffer_span(labels));
  }

  std::unique_ptr<Communicator> world_, gradient_lane_;
  std::int64_t local_batch_;
  Executor executor_;
  std::vector<std::int32_t> labels_;  // of an evaluation batch
};

void add(ClassSums& to, const ClassSums& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

LoaderConfig training_images(const FrozenEncoder& encoder, const LinearAugmentedConfig& config,
                             std::int64_t steps, HostMemory& memory, const Communicator& world) {
  const ModelDescription& model = encoder.model();
  return {.augmentation = {.crop = true,
                           .flip = true,
                           .color = false,
                           .gray = false,
                           .blur = false,
                           .image_size = static_cast<int>(model.image_size),
                           .mean = model.mean,
                           .std = model.std},
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

/// Returns the mean loss of the last epoch.
double train_probe(Probe& probe, TrainingLoader& loader, const Schedule& schedule,
                   std::int64_t steps_per_epoch) {
  ClassSums epoch{};
  probe.stage(loader.next());
  for (std::int64_t step = 0; step < schedule.total_steps; ++step) {
    if (step % steps_per_epoch == 0) epoch = {};
    probe.start_step(schedule.control(step, probe_optimizer()));
    if (step + 1 < schedule.total_steps) probe.stage(loader.next());
    add(epoch, probe.sums());
    if (!std::isfinite(epoch[0])) {
      fail("the classifier's loss is not finite at step {}: lower --learning-rate", step);
    }
    if ((step + 1) % steps_per_epoch == 0) {
      log::info("linear-augmented: epoch {} of {}, loss {:.4f}, train top-1 {:.2f} %",
                (step + 1) / steps_per_epoch, schedule.total_steps / steps_per_epoch,
                epoch[0] / epoch[3], 100 * epoch[1] / epoch[3]);
    }
  }
  return epoch[0] / epoch[3];
}

Accuracy measure_probe(Probe& probe, EvaluationLoader& loader) {
  ClassSums sums{};
  while (const EvaluationBatch* batch = loader.next()) add(sums, probe.measure(*batch));
  return {sums[1] / sums[3], sums[2] / sums[3], static_cast<std::int64_t>(sums[3])};
}

}  // namespace

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
  Probe probe(encoder, config, backend, world);
  LinearAugmentedResult result{.steps = schedule.total_steps};
  result.encoder_hash_before = encoder_hash(probe.executor());
  {
    HostMemory memory(backend);
    TrainingLoader loader(train,
                          training_images(encoder, config, schedule.total_steps, memory, world));
    result.train_loss = train_probe(probe, loader, schedule, steps_per_epoch);
  }
  EvaluationLoader loader(test, evaluation_images(encoder.model(), config.activations,
                                                  probe.local_batch(), config.threads, world));
  result.test = measure_probe(probe, loader);
  result.encoder_hash_after = encoder_hash(probe.executor());
  if (result.encoder_hash_after != result.encoder_hash_before) {
    fail("the frozen encoder changed during linear evaluation: hash {} before, {} after",
         result.encoder_hash_before, result.encoder_hash_after);
  }
  return result;
}

}  // namespace simclr
