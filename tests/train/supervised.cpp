// A program with a training command that is not SimCLR: `supervised` trains a ResNet-18 and a
// classifier on labeled images with cross-entropy. Its tests show that the training engine does not
// depend on SimCLR: everything about the task is in this file.

#include <array>
#include <iostream>
#include <memory>
#include <optional>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/nn/model.hpp"
#include "simclr/train/training_config.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {
namespace {

struct SupervisedConfig : TrainingConfig {
  double width = 0.125;
  std::int64_t classes = 10;
  std::vector<double> mean, std;  // mean and deviation of the pixels

  [[nodiscard]] const char* command() const override { return "supervised"; }
  [[nodiscard]] std::unique_ptr<TrainingConfig> with_defaults() const override {
    return std::make_unique<SupervisedConfig>();
  }

  void declare(Options& options) override {
    declare_data_options(options, *this);
    options.group("model")
        .add("width", width, "multiplies the number of channels")
        .add("classes", classes, "number of classes")
        .add("batch-size", batch_size, "images of a step, summed over all ranks")
        .add("mean", mean, "red, green and blue to subtract")
        .add("std", std, "red, green and blue to divide by");
    declare_optimizer_options(options, *this);
    declare_training_device_options(options, *this);
    declare_run_options(options, *this);
  }

  void validate() const override {}
  void validate_data(const ShardSetInfo& info) const override {
    TrainingConfig::validate_data(info);
    if (!info.labeled) refuse("option --data: {} has no labels", data.string());
    if (info.classes > classes) refuse("option --classes: the data has {}", info.classes);
  }

  [[nodiscard]] EncoderSpec encoder() const {
    return {.depth = 18, .width = width, .stem = Stem::cifar};
  }
  [[nodiscard]] AugmentationConfig augmentation() const override {
    AugmentationConfig augmentation{.ops = usual_ops({AugmentOp::flip}),
                                    .image_size = static_cast<int>(image_size)};
    const auto channels = [](const std::vector<double>& v) {
      return std::array{static_cast<float>(v[0]), static_cast<float>(v[1]),
                        static_cast<float>(v[2])};
    };
    if (!mean.empty()) augmentation.mean = channels(mean);
    if (!std.empty()) augmentation.std = channels(std);
    return augmentation;
  }
  [[nodiscard]] int views_per_sample() const override { return 1; }
  [[nodiscard]] ModelDescription model() const override {
    return {.encoder = encoder(), .head = {.kind = HeadKind::none}, .image_size = image_size};
  }
  [[nodiscard]] Objective objective() const override {
    return cross_entropy_objective(batch_size, classes);
  }

  [[nodiscard]] Task task(int /*rank*/, int world_size) const override {
    ClassifierSpec spec;
    spec.encoder = encoder();
    spec.batch_norm.ranks_per_group = world_size;
    spec.batch = samples_per_rank(world_size);
    spec.image_size = image_size;
    spec.activations = activation_type(device.precision);
    spec.classes = classes;
    spec.global_batch = batch_size;
    spec.optimizer = optimizer_spec();
    spec.world_size = world_size;
    return {.program = record_classifier(spec),
            .objective = objective(),
            .inputs = {views_input(), labels_input()},
            .optimizer = optimizer_spec(),
            .ranks_per_bn_group = world_size,
            .advice = "check the pixels"};
  }
};

int train_classifier(Invocation& invocation) {
  SupervisedConfig config;
  Options options("supervised", "Trains a classifier.", {"supervised"});
  config.declare(options);
  std::optional<DryRun> dry;
  options.action<DryRun>("dry-run", dry, {{"here", DryRun::here}}, "check, and do not train");
  continue_stored_run(options, config);
  if (!invocation.parse(options)) return 0;
  if (dry) {
    const std::string line = dry_run(config, *dry, invocation.world);
    if (invocation.world.rank() == 0) std::cout << line << '\n';
    return 0;
  }
  return run_training(config, {"test", "none", "none"}, invocation.world);
}

const std::array kCommands{
    Command{"pack", "images -> HDF5 shards", true, run_pack},
    Command{"supervised", "trains a classifier", true, train_classifier},
};

}  // namespace

std::span<const Command> commands() { return kCommands; }

}  // namespace simclr
