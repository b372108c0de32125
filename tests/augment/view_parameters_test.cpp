// The distributions that views are drawn from, each against its definition. Seeds are fixed, so the
// bounds (a chance of about 1e-6 each for a correct sampler) either hold or do not.

#include "simclr/augment/augmentation_parameters.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

namespace simclr {
namespace {

constexpr int kDraws = 40000;
/// Kolmogorov-Smirnov distance times sqrt(n) that a uniform sample exceeds with probability 1e-6.
constexpr double kLargestKolmogorov = 2.7;
/// Standard deviations that a proportion exceeds with probability 1e-6.
constexpr double kLargestSigmas = 4.9;

/// Views of many samples, epochs and both view numbers of images of one size.
std::vector<ViewParameters> draw(const AugmentationConfig& config, int height, int width,
                                 int count = kDraws) {
  std::vector<ViewParameters> views;
  for (int i = 0; i < count; ++i) {
    const ViewKey key{.seed = 7,
                      .epoch = static_cast<std::uint32_t>(i % 5),
                      .sample = i / 10,
                      .view = static_cast<std::uint32_t>(i / 5 % 2)};
    views.push_back(sample_view_parameters(config, key, height, width));
  }
  return views;
}

/// sqrt(n) * sup |empirical - uniform| of values that should be U(low, high).
double kolmogorov(std::vector<double> values, double low, double high) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  double distance = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double expected = (values[i] - low) / (high - low);
    const auto rank = static_cast<double>(i);
    distance = std::max({distance, expected - rank / n, (rank + 1) / n - expected});
  }
  EXPECT_GE(values.front(), low);
  EXPECT_LE(values.back(), high);
  return distance * std::sqrt(n);
}

template <class Value>
std::vector<double> collect(const std::vector<ViewParameters>& views, Value value) {
  std::vector<double> values;
  values.reserve(views.size());
  for (const ViewParameters& view : views) values.push_back(double{value(view)});
  return values;
}

template <class Condition>
void expect_proportion(const std::vector<ViewParameters>& views, double p, Condition holds) {
  const auto n = static_cast<double>(views.size());
  const auto hits = static_cast<double>(std::count_if(views.begin(), views.end(), holds));
  EXPECT_LE(std::abs(hits - n * p) / std::sqrt(n * p * (1 - p)), kLargestSigmas) << hits / n;
}

TEST(ViewParameters, CropAreaAndLogAspectAreUniform) {
  // On a square so large that rounding to pixels hides and only areas above 3/4 can be rejected.
  constexpr int kSide = 20000;
  std::vector<double> areas;
  std::vector<double> aspects;
  for (const ViewParameters& view : draw(simclr_augmentation(), kSide, kSide)) {
    const double area = double(view.crop.height) * view.crop.width / (double(kSide) * kSide);
    ASSERT_GE(area, 0.0799);
    if (area >= 0.75) continue;
    areas.push_back(std::max(area, 0.08));
    aspects.push_back(std::log(double(view.crop.width) / view.crop.height));
  }
  // A rejected try is drawn anew, so below 3/4 the shares stay in proportion.
  EXPECT_LE(kolmogorov(areas, 0.08, 0.75), kLargestKolmogorov);
  EXPECT_LE(kolmogorov(aspects, std::log(0.75) - 1e-3, std::log(4.0 / 3.0) + 1e-3),
            kLargestKolmogorov + 0.5);
}

TEST(ViewParameters, CropPositionIsUniformOverWhatFits) {
  std::vector<double> tops;
  std::vector<double> lefts;
  for (const ViewParameters& view : draw(simclr_augmentation(), 4000, 6000)) {
    const CropBox& crop = view.crop;
    ASSERT_GE(std::min(crop.top, crop.left), 0);
    ASSERT_LE(crop.top + crop.height, 4000);
    ASSERT_LE(crop.left + crop.width, 6000);
    // A place among n + 1 stands for the interval around it.
    tops.push_back((crop.top + 0.5) / (4000 - crop.height + 1));
    lefts.push_back((crop.left + 0.5) / (6000 - crop.width + 1));
  }
  // Boxes that leave little room have few places: the distance is a little above a continuum's.
  EXPECT_LE(kolmogorov(tops, 0, 1), 2 * kLargestKolmogorov);
  EXPECT_LE(kolmogorov(lefts, 0, 1), 2 * kLargestKolmogorov);
}

TEST(ViewParameters, SmallImagesReachEveryCorner) {
  std::set<std::pair<int, int>> corners;
  int whole = 0;
  for (const ViewParameters& view : draw(simclr_augmentation(), 32, 32)) {
    const CropBox& crop = view.crop;
    ASSERT_GE(crop.height * crop.width, 0.08 * 32 * 32 - 16);
    corners.insert({crop.top + crop.height, crop.left + crop.width});
    whole += static_cast<int>(crop == CropBox{0, 0, 32, 32});
  }
  EXPECT_TRUE(corners.contains({32, 32}));
  EXPECT_GT(whole, 0);
}

TEST(ViewParameters, ExtremeAspectsFallBackToTheCentralCrop) {
  // No box of aspect 3/4 to 4/3 and at least 8 % of the area fits into these strips.
  for (const ViewParameters& view : draw(simclr_augmentation(), 1000, 30, 50)) {
    EXPECT_EQ(view.crop, (CropBox{480, 0, 40, 30}));
  }
  for (const ViewParameters& view : draw(simclr_augmentation(), 30, 1001, 50)) {
    EXPECT_EQ(view.crop, (CropBox{0, 480, 30, 40}));
  }
  for (const ViewParameters& view : draw(simclr_augmentation(), 1, 1, 50))
    EXPECT_EQ(view.crop, (CropBox{0, 0, 1, 1}));
}

TEST(ViewParameters, ProbabilitiesOfTheOps) {
  const auto views = draw(simclr_augmentation(), 64, 64);
  expect_proportion(views, 0.5, [](auto& view) { return view.flip; });
  expect_proportion(views, 0.8, [](auto& view) { return view.jitter; });
  expect_proportion(views, 0.2, [](auto& view) { return view.gray; });
  expect_proportion(views, 0.5, [](auto& view) { return view.blur; });
  // Independent of each other.
  expect_proportion(views, 0.5 * 0.8, [](auto& view) { return view.flip && view.jitter; });
  expect_proportion(views, 0.8 * 0.2, [](auto& view) { return view.jitter && view.gray; });
  expect_proportion(views, 0.5 * 0.2, [](auto& view) { return view.blur && view.gray; });
  expect_proportion(views, 0.5 * 0.5, [](auto& view) { return view.blur && view.flip; });
}

TEST(ViewParameters, ColorFactorsAreUniform) {
  for (const double strength : {0.125, 0.5, 1.0, 2.0}) {
    AugmentationConfig config = simclr_augmentation();
    config.color_strength = strength;
    const auto views = draw(config, 64, 64);
    // The samplers compute in float: the ends may be off by a rounding.
    const double low = std::max(0.0, 1 - 0.8 * strength) - 1e-6;
    const double high = 1 + 0.8 * strength + 1e-6;
    const double turn = 0.2 * strength + 1e-6;
    const auto brightness = collect(views, [](auto& view) { return view.brightness; });
    const auto contrast = collect(views, [](auto& view) { return view.contrast; });
    const auto saturation = collect(views, [](auto& view) { return view.saturation; });
    EXPECT_LE(kolmogorov(brightness, low, high), kLargestKolmogorov) << strength;
    EXPECT_LE(kolmogorov(contrast, low, high), kLargestKolmogorov) << strength;
    EXPECT_LE(kolmogorov(saturation, low, high), kLargestKolmogorov) << strength;
    EXPECT_LE(kolmogorov(collect(views, [](auto& view) { return view.hue; }), -turn, turn),
              kLargestKolmogorov);
    // Drawn apart: their products average to the product of the means, 1 for s <= 1.25.
    double product = 0;
    for (int i = 0; i < kDraws; ++i) {
      const auto at = static_cast<std::size_t>(i);
      product += (brightness[at] - (low + high) / 2) * (contrast[at] - (low + high) / 2) / kDraws;
    }
    EXPECT_LE(std::abs(product),
              kLargestSigmas * (high - low) * (high - low) / 12 / std::sqrt(kDraws));
  }
}

TEST(ViewParameters, AdditiveBrightnessIsCenteredOnZero) {
  AugmentationConfig config = simclr_augmentation();
  config.additive_brightness = true;
  config.color_strength = 0.5;
  const auto views = draw(config, 64, 64);
  EXPECT_LE(kolmogorov(collect(views, [](auto& view) { return view.brightness; }), -0.4001, 0.4001),
            kLargestKolmogorov);
}

TEST(ViewParameters, AllTwentyFourOrdersAreEquallyLikely) {
  std::array<int, 256> counts{};
  for (const ViewParameters& view : draw(simclr_augmentation(), 64, 64)) {
    std::size_t code = 0;
    for (const ColorOp op : view.order) code = code * 4 + static_cast<std::size_t>(op);
    ++counts.at(code);
  }
  double chi_square = 0;
  int orders = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    ++orders;
    chi_square += std::pow(count - kDraws / 24.0, 2) / (kDraws / 24.0);
  }
  EXPECT_EQ(orders, 24);
  EXPECT_LE(chi_square, 72.0);  // 23 degrees of freedom: exceeded with probability 5e-7
}

TEST(ViewParameters, BlurSigmaIsUniform) {
  EXPECT_LE(kolmogorov(
                collect(draw(simclr_augmentation(), 64, 64), [](auto& view) { return view.sigma; }),
                0.1, 2.0),
            kLargestKolmogorov);
}

TEST(ViewParameters, SwitchingAnOpOffLeavesTheOthersAlone) {
  const AugmentationConfig only_crop{.crop = true};
  AugmentationConfig without_crop = simclr_augmentation();
  without_crop.crop = false;
  const auto all = draw(simclr_augmentation(), 50, 60, 200);
  const auto crops = draw(only_crop, 50, 60, 200);
  const auto rest = draw(without_crop, 50, 60, 200);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(crops[i].crop, all[i].crop);
    EXPECT_FALSE(crops[i].flip || crops[i].jitter || crops[i].gray || crops[i].blur);
    EXPECT_EQ(rest[i].crop, (CropBox{0, 0, 50, 60}));
    EXPECT_EQ(rest[i].hue, all[i].hue);
    EXPECT_EQ(rest[i].sigma, all[i].sigma);
  }
}

TEST(ViewParameters, ARecipeDoesWhatItSwitchesOnAndNothingElse) {
  const auto all = draw(simclr_augmentation(), 50, 60, 200);
  const auto linear = draw(linear_evaluation_augmentation(), 50, 60, 200);
  const auto none = draw({}, 50, 60, 200);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(linear[i], (ViewParameters{.crop = all[i].crop, .flip = all[i].flip}));
    EXPECT_EQ(none[i], (ViewParameters{.crop = {0, 0, 50, 60}}));
  }
}

TEST(ViewParameters, EveryPartOfTheKeyMatters) {
  const ViewKey base{.seed = 3, .epoch = 4, .sample = 5, .view = 0};
  std::vector<ViewKey> keys(7, base);
  keys[1].seed = 4;
  keys[2].seed = 3 + (std::uint64_t{1} << 40);
  keys[3].epoch = 5;
  keys[4].sample = kMaxAugmentedSamples - 1;
  keys[5].view = 1;
  keys[6].epoch = static_cast<std::uint32_t>(kMaxAugmentedEpochs - 1);
  std::set<float> hues;
  std::set<float> sigmas;
  for (const ViewKey& key : keys) {
    const ViewParameters view = sample_view_parameters(simclr_augmentation(), key, 100, 100);
    hues.insert(view.hue);
    sigmas.insert(view.sigma);
  }
  EXPECT_EQ(hues.size(), keys.size());
  EXPECT_EQ(sigmas.size(), keys.size());
}

// Frozen numbers: a change here means that runs can no longer be continued or replayed.
TEST(ViewParameters, StayAsTheyWere) {
  const ViewParameters view = sample_view_parameters(
      simclr_augmentation(), {.seed = 1, .epoch = 2, .sample = 3, .view = 1}, 375, 500);
  EXPECT_EQ(view.crop, (CropBox{1, 201, 292, 252}));
  EXPECT_FLOAT_EQ(view.brightness, 0.61176932F);
  EXPECT_FLOAT_EQ(view.hue, 0.077887669F);
  EXPECT_FLOAT_EQ(view.sigma, 0.47472993F);
}

}  // namespace
}  // namespace simclr
