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

constexpr int kDraws = 100000;
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
    const double area = double(view.base.height) * view.base.width / (double(kSide) * kSide);
    ASSERT_GE(area, 0.0799);
    if (area >= 0.75) continue;
    areas.push_back(std::max(area, 0.08));
    aspects.push_back(std::log(double(view.base.width) / view.base.height));
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
    const CropBox& crop = view.base;
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
    const CropBox& crop = view.base;
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
    EXPECT_EQ(view.base, (CropBox{480, 0, 40, 30}));
  }
  for (const ViewParameters& view : draw(simclr_augmentation(), 30, 1001, 50)) {
    EXPECT_EQ(view.base, (CropBox{0, 480, 30, 40}));
  }
  for (const ViewParameters& view : draw(simclr_augmentation(), 1, 1, 50))
    EXPECT_EQ(view.base, (CropBox{0, 0, 1, 1}));
}

TEST(ViewParameters, ProbabilitiesOfTheOps) {
  const auto views = draw(simclr_augmentation(), 64, 64);
  expect_proportion(views, 0.5, [](auto& view) { return view.applies(AugmentOp::flip); });
  expect_proportion(views, 0.8, [](auto& view) { return view.applies(AugmentOp::color); });
  expect_proportion(views, 0.2, [](auto& view) { return view.applies(AugmentOp::gray); });
  expect_proportion(views, 0.5, [](auto& view) { return view.applies(AugmentOp::blur); });
  // Independent of each other.
  expect_proportion(views, 0.5 * 0.8, [](auto& view) {
    return view.applies(AugmentOp::flip) && view.applies(AugmentOp::color);
  });
  expect_proportion(views, 0.8 * 0.2, [](auto& view) {
    return view.applies(AugmentOp::color) && view.applies(AugmentOp::gray);
  });
  expect_proportion(views, 0.5 * 0.2, [](auto& view) {
    return view.applies(AugmentOp::blur) && view.applies(AugmentOp::gray);
  });
  expect_proportion(views, 0.5 * 0.5, [](auto& view) {
    return view.applies(AugmentOp::blur) && view.applies(AugmentOp::flip);
  });
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

TEST(ViewParameters, AnOpsNumbersDependOnNoOtherOp) {
  using enum AugmentOp;
  const AugmentationConfig alone{.ops = usual_ops({crop})};
  AugmentationConfig others{.ops = usual_ops({equalize, blur, noise, cutout, color, flip})};
  const AugmentationConfig reordered{.ops = usual_ops({crop, noise, color, blur, flip, cutout})};
  const auto all = draw(simclr_augmentation(), 50, 60, 200);
  const auto crops = draw(alone, 50, 60, 200);
  const auto rest = draw(others, 50, 60, 200);
  const auto again = draw(reordered, 50, 60, 200);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(crops[i], (ViewParameters{.base = all[i].base, .has_base = true}));
    EXPECT_FALSE(rest[i].has_base);
    EXPECT_EQ(rest[i].hue, all[i].hue);
    EXPECT_EQ(rest[i].sigma, all[i].sigma);
    EXPECT_EQ(rest[i].applies(flip), all[i].applies(flip));
    EXPECT_EQ(again[i].base, all[i].base);
    EXPECT_EQ(again[i].brightness, all[i].brightness);
    EXPECT_EQ(again[i].noise_sigma, rest[i].noise_sigma);
    EXPECT_EQ(again[i].cutout, rest[i].cutout);
  }
}

TEST(ViewParameters, OpsComeInTheOrderOfTheList) {
  using enum AugmentOp;
  const AugmentationConfig config{.ops = {{gray, 1}, {color, 0}, {crop, 1}, {sobel, 1}}};
  for (const ViewParameters& view : draw(config, 50, 60, 50)) {
    ASSERT_EQ(view.op_count, 3);
    EXPECT_EQ(std::vector(view.ops, view.ops + 3), (std::vector{gray, crop, sobel}));
    EXPECT_FALSE(view.has_base);  // the crop is of the view that gray has made
    EXPECT_LE(view.crop.top + view.crop.height, config.image_size);
  }
}

TEST(ViewParameters, TheBaseCropIsOfTheImageAndTheSameInBothViews) {
  AugmentationConfig config{.ops = usual_ops({AugmentOp::crop, AugmentOp::color}),
                            .second_ops = AugmentationList{},
                            .base_crop = true};
  std::set<int> widths;
  for (std::int64_t sample = 0; sample < 200; ++sample) {
    for (std::uint32_t epoch = 0; epoch < 2; ++epoch) {
      const ViewKey first{.seed = 3, .epoch = epoch, .sample = sample, .view = 0};
      const ViewKey second{.seed = 3, .epoch = epoch, .sample = sample, .view = 1};
      const ViewParameters a = sample_view_parameters(config, first, 200, 300);
      const ViewParameters b = sample_view_parameters(config, second, 200, 300);
      EXPECT_EQ(b, (ViewParameters{.base = a.base, .has_base = true}));
      EXPECT_TRUE(a.applies(AugmentOp::crop));
      EXPECT_NE(a.crop, a.base);
      widths.insert(a.base.width);
    }
  }
  EXPECT_GT(widths.size(), 100U);
}

/// Views of one op that every view gets.
std::vector<ViewParameters> draw_one(AugmentOp op, const OpParameters& parameters = {}) {
  return draw({.ops = {{op, 1}}, .parameters = parameters, .image_size = 64}, 64, 64);
}

TEST(ViewParameters, ProbabilitiesOfAListAreItsOwn) {
  for (int op = 0; op < kAugmentOps; ++op) {
    const auto of = static_cast<AugmentOp>(op);
    if (of == AugmentOp::rotate) continue;  // a quarter of its turns changes nothing
    const auto applied = [&](const ViewParameters& view) {
      return of == AugmentOp::crop ? view.has_base : view.applies(of);
    };
    for (const float p : {0.0F, 0.3F, 1.0F}) {
      const auto views = draw({.ops = {{of, p}}}, 64, 64, 20000);
      const auto hits = std::count_if(views.begin(), views.end(), applied);
      const double sigma = std::sqrt(double{p} * (1 - double{p}) / 20000);
      EXPECT_LE(std::abs(static_cast<double>(hits) / 20000 - double{p}), kLargestSigmas * sigma)
          << name_of(of) << ' ' << p;
    }
  }
}

TEST(ViewParameters, TurnsAreEquallyLikely) {
  const auto views = draw_one(AugmentOp::rotate);
  for (int turns = 0; turns < 4; ++turns) {
    expect_proportion(views, 0.25, [&](auto& view) { return view.quarter_turns == turns; });
  }
  expect_proportion(views, 0.75, [](auto& view) { return view.applies(AugmentOp::rotate); });
}

TEST(ViewParameters, CutoutsCenterIsUniformOverThePixels) {
  const auto views = draw_one(AugmentOp::cutout, {.cutout_size = 0.25});
  // A place among 64 stands for the interval around it, of which the distance sees half.
  const double places = 0.5 / 64 * std::sqrt(kDraws);
  for (const ViewParameters& view : views) {
    ASSERT_EQ(view.cutout.height, 16);
    ASSERT_EQ(view.cutout.width, 16);
  }
  EXPECT_LE(kolmogorov(collect(views, [](auto& v) { return v.cutout.top + 8.5; }), 0, 64),
            kLargestKolmogorov + places);
  EXPECT_LE(kolmogorov(collect(views, [](auto& v) { return v.cutout.left + 8.5; }), 0, 64),
            kLargestKolmogorov + places);
}

TEST(ViewParameters, ParametersBoundWhatIsDrawn) {
  const OpParameters own{.blur_min_sigma = 0.5,
                         .blur_max_sigma = 0.75,
                         .noise_min_sigma = 0.1,
                         .noise_max_sigma = 0.4};
  const auto noise = [](auto& view) { return view.noise_sigma; };
  EXPECT_LE(kolmogorov(collect(draw_one(AugmentOp::noise), noise), 0, 0.2000001),
            kLargestKolmogorov);
  EXPECT_LE(kolmogorov(collect(draw_one(AugmentOp::noise, own), noise), 0.0999999, 0.4000001),
            kLargestKolmogorov);
  EXPECT_LE(kolmogorov(collect(draw_one(AugmentOp::blur, own), [](auto& v) { return v.sigma; }),
                       0.5, 0.75),
            kLargestKolmogorov);
  const auto colors = draw_one(
      AugmentOp::color,
      {.color_brightness = 0.4, .color_contrast = 0.4, .color_saturation = 0.2, .color_hue = 0.1});
  const auto saturation = collect(colors, [](auto& view) { return view.saturation; });
  const auto hue = collect(colors, [](auto& view) { return view.hue; });
  EXPECT_LE(kolmogorov(saturation, 0.8 - 1e-6, 1.2 + 1e-6), kLargestKolmogorov);
  EXPECT_LE(kolmogorov(hue, -0.1 - 1e-6, 0.1 + 1e-6), kLargestKolmogorov);
  for (const ViewParameters& view :
       draw({.ops = {{AugmentOp::crop, 1}}, .parameters = {.crop_min_area = 0.5}}, 500, 500)) {
    ASSERT_GE(double{1} * view.base.height * view.base.width, 0.498 * 500 * 500);
  }
}

/// Boxes keep the bounds of TensorFlow 2.15's kernel.
TEST(ViewParameters, TensorFlowsBoxes) {
  AugmentationConfig config{.ops = usual_ops({AugmentOp::crop}),
                            .semantics = AugmentSemantics::tf_v2};
  std::vector<double> aspects;
  for (const ViewParameters& view : draw(config, 2000, 2000)) {
    const CropBox& box = view.base;
    ASSERT_GE(double{1} * box.height * box.width, 0.1 * 2000 * 2000);
    ASSERT_LE(box.top + box.height, 2000);
    ASSERT_LE(box.left + box.width, 2000);
    ASSERT_TRUE(box.height == 2000 || box.top < 2000 - box.height);  // never the last place
    aspects.push_back(double(box.width) / box.height);
  }
  const auto [least, most] = std::minmax_element(aspects.begin(), aspects.end());
  EXPECT_GE(*least, 0.749);
  EXPECT_LE(*most, 1.335);
  for (const ViewParameters& view : draw(config, 1000, 30, 50)) {
    EXPECT_EQ(view.base, (CropBox{0, 0, 1000, 30}));  // no box of such an aspect covers a tenth
  }
}

TEST(ViewParameters, ARecipeDoesWhatItSwitchesOnAndNothingElse) {
  const auto all = draw(simclr_augmentation(), 50, 60, 200);
  const auto linear = draw(linear_evaluation_augmentation(), 50, 60, 200);
  const auto none = draw({}, 50, 60, 200);
  for (std::size_t i = 0; i < all.size(); ++i) {
    ViewParameters wanted{.base = all[i].base, .has_base = true};
    if (all[i].applies(AugmentOp::flip)) wanted.add(AugmentOp::flip);
    EXPECT_EQ(linear[i], wanted);
    EXPECT_EQ(none[i], ViewParameters{});
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
  EXPECT_EQ(view.base, (CropBox{1, 201, 292, 252}));
  EXPECT_FLOAT_EQ(view.brightness, 0.61176932F);
  EXPECT_FLOAT_EQ(view.hue, 0.077887669F);
  EXPECT_FLOAT_EQ(view.sigma, 0.47472993F);
}

}  // namespace
}  // namespace simclr
