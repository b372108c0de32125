// Every file of configs/ is read by the program's own options and means what its comment says.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "simclr/core/options.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {
namespace {

const std::filesystem::path kConfigs = std::filesystem::path(SIMCLR_SOURCE_DIR) / "configs";

PretrainConfig read(const std::filesystem::path& file) {
  PretrainConfig config;
  Options options("pretrain", "", {"pretrain"});
  declare_pretrain_options(options, config);
  EXPECT_TRUE(options.parse({"--config", file.string(), "--data", "shards", "--run-dir", "run"}));
  config.validate();
  return config;
}

double peak(const PretrainConfig& config) { return config.schedule(1).peak; }

TEST(Configs, EveryFileIsReadAndValid) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(kConfigs)) {
    files.push_back(entry.path());
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

TEST(Configs, LearningRatesAreThePapers) {
  EXPECT_NEAR(peak(read(kConfigs / "imagenet-v1.cfg")), 4.8, 1e-12);  // 0.3 * 4096 / 256
  EXPECT_NEAR(peak(read(kConfigs / "imagenet-v2.cfg")), 6.4, 1e-12);  // 0.1 * sqrt(4096)
  EXPECT_NEAR(peak(read(kConfigs / "cifar10.cfg")), 4.0, 1e-12);      // 1.0 * 1024 / 256
}

TEST(Configs, RecipesDifferWhereThePapersDo) {
  const PretrainConfig v1 = read(kConfigs / "imagenet-v1.cfg");
  EXPECT_EQ(v1.augmentation().blur, true);
  EXPECT_EQ(v1.color_strength, 1.0);
  EXPECT_EQ(v1.head.layers, 2);
  EXPECT_EQ(v1.weight_decay, 1e-6);
  EXPECT_EQ(v1.temperature, 0.1);

  const PretrainConfig v2 = read(kConfigs / "imagenet-v2.cfg");
  EXPECT_EQ(v2.head.layers, 3);
  EXPECT_EQ(v2.weight_decay, 1e-4);
  EXPECT_EQ(v2.warmup_epochs, 0.05 * static_cast<double>(v2.epochs));

  const PretrainConfig cifar = read(kConfigs / "cifar10.cfg");
  EXPECT_EQ(cifar.augmentation().blur, false);
  EXPECT_EQ(cifar.color_strength, 0.5);
  EXPECT_EQ(cifar.temperature, 0.5);
}

}  // namespace
}  // namespace simclr
