// The program's options accept every file of configs/, and the files have the values of the papers.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/options.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {
namespace {

const std::filesystem::path kConfigs = std::filesystem::path(SIMCLR_SOURCE_DIR) / "configs";

PretrainConfig read(const std::filesystem::path& file) {
  PretrainConfig config;
  Options options("pretrain", "", {"pretrain"});
  config.declare(options);
  EXPECT_TRUE(options.parse({"--config", file.string(), "--data", "shards", "--run-dir", "run"}));
  config.validate();
  return config;
}

double peak(const PretrainConfig& config) { return config.schedule(1).peak; }

TEST(Configs, EveryFileIsValid) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(kConfigs)) {
    if (entry.is_regular_file()) files.push_back(entry.path());  // studies have a test of theirs
  }
  ASSERT_GE(files.size(), 5U);
  for (const auto& file : files) {
    SCOPED_TRACE(file);
    EXPECT_EQ(file.extension(), ".cfg");
    const PretrainConfig config = read(file);
    EXPECT_GT(config.epochs, 0);
    EXPECT_EQ(config.encoder_spec().stem, config.image_size <= 32 ? Stem::cifar : Stem::imagenet);
  }
}

TEST(Configs, LearningRatesEqualThePapers) {
  EXPECT_NEAR(peak(read(kConfigs / "imagenet-v1.cfg")), 4.8, 1e-12);  // 0.3 * 4096 / 256
  EXPECT_NEAR(peak(read(kConfigs / "imagenet-v2.cfg")), 6.4, 1e-12);  // 0.1 * sqrt(4096)
  EXPECT_NEAR(peak(read(kConfigs / "cifar10.cfg")), 4.0, 1e-12);      // 1.0 * 1024 / 256
}

TEST(Options, SetTheScheduleTheOptimizerAndTheEncoder) {
  PretrainConfig config;
  config.device.precision = Precision::fp32;
  EXPECT_EQ(config.batch_norm_spec(1).momentum, 0.1F);  // the bits of torchvision's default
  EXPECT_EQ(config.schedule(10).total_steps, 1000);
  config.schedule_steps = 77;
  EXPECT_EQ(config.schedule(10).total_steps, 77);
  config.bn_decay = 0.75;
  EXPECT_EQ(config.batch_norm_spec(1).momentum, 0.25F);
  config.bn_group = "global";
  EXPECT_EQ(config.batch_norm_spec(2).momentum, 0.25F);
  config.pool_padding = PoolPadding::same;
  EXPECT_EQ(config.model().encoder.pool_padding, PoolPadding::same);
  EXPECT_EQ(config.program_spec(0, 1).encoder.pool_padding, PoolPadding::same);
  config.encoder = "resnet50";
  config.sk_ratio = 0.0625;
  EXPECT_EQ(config.model().encoder.sk_ratio, 0.0625);
  config.nesterov = true;
  EXPECT_THROW(config.validate(), RefusedError);
  config.optimizer = OptimizerKind::sgd;
  EXPECT_NO_THROW(config.validate());
  EXPECT_TRUE(config.program_spec(0, 1).optimizer.nesterov);
}

TEST(Configs, PretrainingTakesSimclrsViewsByDefault) {
  EXPECT_EQ(PretrainConfig{}.augmentation(), simclr_augmentation());
}

TEST(Configs, RecipesDifferWhereThePapersDo) {
  const PretrainConfig v1 = read(kConfigs / "imagenet-v1.cfg");
  EXPECT_TRUE(has_op(v1.augmentation().ops, AugmentOp::blur));
  EXPECT_EQ(v1.color_strength, 1.0);
  EXPECT_EQ(v1.head.layers, 2);
  EXPECT_EQ(v1.weight_decay, 1e-6);
  EXPECT_EQ(v1.temperature, 0.1);

  const PretrainConfig v2 = read(kConfigs / "imagenet-v2.cfg");
  EXPECT_EQ(v2.head.layers, 3);
  EXPECT_EQ(v2.weight_decay, 1e-4);
  EXPECT_EQ(v2.warmup_epochs, 0.05 * static_cast<double>(v2.epochs));

  const PretrainConfig cifar = read(kConfigs / "cifar10.cfg");
  EXPECT_FALSE(has_op(cifar.augmentation().ops, AugmentOp::blur));
  EXPECT_EQ(cifar.color_strength, 0.5);
  EXPECT_EQ(cifar.temperature, 0.5);
}

/// Options and values on which users' scripts rely.
TEST(Configs, EveryDocumentedOptionIsAccepted) {
  const std::vector<std::string> arguments{"--data=shards",
                                           "--eval-data=shards",
                                           "--image-size=32",
                                           "--cache=auto",
                                           "--shuffle=on",
                                           "--encoder=resnet50",
                                           "--width=1",
                                           "--stem=auto",
                                           "--head=nonlinear",
                                           "--head-layers=2",
                                           "--head-width=0",
                                           "--embedding-dim=128",
                                           "--batch-size=64",
                                           "--bn-group=16",
                                           "--loss=nt-xent",
                                           "--temperature=0.1",
                                           "--augment=crop,flip,cutout",
                                           "--augment-second=none",
                                           "--base-crop=on",
                                           "--augment-params=cutout.size=0.3",
                                           "--augment-semantics=torchvision",
                                           "--color-strength=0.5",
                                           "--optimizer=lars",
                                           "--interpolation=bicubic",
                                           "--learning-rate=0.3",
                                           "--lr-scaling=sqrt",
                                           "--warmup-epochs=0.5",
                                           "--weight-decay=1e-6",
                                           "--momentum=0.9",
                                           "--epochs=10",
                                           "--max-steps=5",
                                           "--device=cpu",
                                           "--precision=fp32",
                                           "--threads=2",
                                           "--run-dir=run",
                                           "--seed=3",
                                           "--log-every=1",
                                           "--keep=2",
                                           "--checkpoint-every-epochs=1",
                                           "--checkpoint-every-minutes=5",
                                           "--checkpoint-steps=0,5",
                                           "--resume=auto",
                                           "--stop-before-minutes=5",
                                           "--recompute=blocks"};
  PretrainConfig config;
  Options options("pretrain", "", {"pretrain"});
  config.declare(options);
  ASSERT_TRUE(options.parse(arguments));
  config.validate();
  EXPECT_EQ(config.shuffle, Shuffle::full);
  EXPECT_EQ(config.checkpoint_steps, (std::vector<std::int64_t>{0, 5}));

  const auto parsed = [](const std::string& argument) {
    PretrainConfig other;
    Options again("pretrain", "", {"pretrain"});
    other.declare(again);
    EXPECT_TRUE(again.parse({argument})) << argument;
    return other;
  };
  EXPECT_EQ(parsed("--shuffle=full").shuffle, Shuffle::full);
  EXPECT_EQ(parsed("--shuffle=block").shuffle, Shuffle::block);
  EXPECT_EQ(parsed("--shuffle=off").shuffle, Shuffle::off);
  EXPECT_EQ(parsed("--cache=node").cache, CacheMode::node);
  EXPECT_EQ(parsed("--cache=none").cache, CacheMode::none);
}

}  // namespace
}  // namespace simclr
