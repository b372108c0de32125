// What rendering promises beyond torchvision's pixels: exact copies, the same bits whatever was
// rendered before or beside it, agreement of the instruction sets, refusals.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include "../../src/augment/view_job.hpp"
#include "simclr/augment/augmentation.hpp"
#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/augment/pixels.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

class TestImage {
 public:
  TestImage(int height, int width, std::uint32_t seed = 1) : height_(height), width_(width) {
    PhiloxStream stream(seed, RandomPurpose::kShuffle, 0, 0);
    for (int y = 0; y < height; ++y) {
      for (int i = 0; i < width * 3; ++i) {
        const double wave = 100 + 90 * std::sin(0.3 * y + 0.11 * i * (1 + i % 3));
        pixels.push_back(static_cast<std::uint8_t>(wave + double{stream.uniform(0, 60)}));
      }
    }
  }
  [[nodiscard]] ImageRef ref() const { return {pixels.data(), height_, width_}; }

  std::vector<std::uint8_t> pixels;

 private:
  int height_, width_;
};

std::vector<float> poisoned(int side) {
  std::vector<float> view(static_cast<std::size_t>(side) * static_cast<std::size_t>(side) * 3);
  std::fill(view.begin(), view.end(), std::numeric_limits<float>::quiet_NaN());
  return view;
}

std::vector<float> render(Augmenter& augmenter, const TestImage& image, int side,
                          std::int64_t sample) {
  std::vector<float> view = poisoned(side);
  augmenter.render(image.ref(), ViewKey{.seed = 9, .epoch = 1, .sample = sample, .view = 1},
                   buffer_span(std::span(view)));
  return view;
}

/// Every operation, in an order in which each meets others' results, half of the views each.
AugmentationConfig every_op(int side, AugmentSemantics semantics = AugmentSemantics::torchvision) {
  using enum AugmentOp;
  AugmentationConfig config{.base_crop = true, .semantics = semantics, .image_size = side};
  for (const AugmentOp op :
       {sobel, color, crop, flip, blur, noise, rotate, gray, solarize, cutout, equalize}) {
    config.ops.push_back({op, 0.5F});
  }
  config.second_ops = config.ops;
  std::reverse(config.second_ops->begin(), config.second_ops->end());
  return config;
}

/// Largest difference; NaN if any element is NaN.
double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::abs(double{a[i]} - double{b[i]});
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

TEST(Augmenter, WithoutOpsAViewIsTheStoredPixels) {
  for (const int side : {8, 28, 32, 64, 100}) {
    const TestImage image(side, side);
    for (int k = 0; k < augment::available_kernels().count; ++k) {
      Augmenter augmenter({.image_size = side}, augment::available_kernels().first + k);
      const auto view = render(augmenter, image, side, 3);
      for (std::size_t i = 0; i < view.size(); ++i) {
        ASSERT_EQ(view[i], static_cast<float>(image.pixels[i]) / 255.0F) << side << ' ' << i;
      }
    }
  }
}

TEST(Augmenter, WithoutCropOtherSizesGetTheEvaluationGeometry) {
  const TestImage image(50, 70);
  Augmenter augmenter({.image_size = 32});
  std::vector<float> evaluation = poisoned(32);
  augmenter.render_evaluation(image.ref(), buffer_span(std::span(evaluation)));
  EXPECT_EQ(render(augmenter, image, 32, 3), evaluation);
}

TEST(Augmenter, MeanAndStdComeLast) {
  AugmentationConfig config = simclr_augmentation(32);
  const TestImage image(40, 50);
  Augmenter plain(config);
  config.mean = {0.5F, 0.4F, 0.3F};
  config.std = {0.2F, 0.25F, 0.5F};
  Augmenter normalized(config);
  const auto view = render(plain, image, 32, 4);
  const auto scaled = render(normalized, image, 32, 4);
  for (std::size_t i = 0; i < view.size(); ++i) {
    ASSERT_EQ(scaled[i], (view[i] - (*config.mean)[i % 3]) / (*config.std)[i % 3]);
  }
}

/// A view in T against the same view in f32, bit by bit.
template <class T>
void expect_rounded(Augmenter& augmenter, const TestImage& image, std::int64_t sample,
                    const std::vector<float>& wide, T (*round)(float)) {
  std::vector<T> view(wide.size(), T{0xFFFF});
  augmenter.render(image.ref(), ViewKey{.seed = 9, .epoch = 1, .sample = sample, .view = 1},
                   buffer_span(std::span(view)));
  for (std::size_t i = 0; i < wide.size(); ++i) {
    ASSERT_EQ(view[i].bits, round(wide[i]).bits) << "value " << i << ": " << wide[i];
  }
}

TEST(Augmenter, SixteenBitViewsAreTheWideOnesRounded) {
  const augment::KernelList list = augment::available_kernels();
  for (const int side : {8, 33, 40, 67}) {
    AugmentationConfig config = simclr_augmentation(side);
    AugmentationConfig normalized = config;  // down to f16's subnormals, and past its largest value
    normalized.mean = {0.5F, 0.4F, 0.3F};
    normalized.std = {2e-6F, 0.25F, 2e4F};
    for (int k = 0; k < list.count; ++k) {
      for (const AugmentationConfig& c : {config, normalized}) {
        Augmenter augmenter(c, list.first + k);
        for (int i = 0; i < 12; ++i) {  // with and without blur
          const TestImage image(30 + i * 5, 90 - i * 4, static_cast<std::uint32_t>(i));
          const std::vector<float> wide = render(augmenter, image, side, i);
          expect_rounded<bf16>(augmenter, image, i, wide, to_bf16);
          expect_rounded<f16>(augmenter, image, i, wide, to_f16);
        }
      }
    }
  }
}

TEST(Augmenter, AViewDoesNotDependOnWhatWasRenderedBefore) {
  AugmentationConfig config = simclr_augmentation(48);
  Augmenter used(config);
  for (int i = 0; i < 40; ++i) {
    const TestImage image(1 + i * 7 % 90, 1 + i * 13 % 120, static_cast<std::uint32_t>(i));
    Augmenter fresh(config);
    ASSERT_EQ(render(used, image, 48, i), render(fresh, image, 48, i)) << i;
  }
}

TEST(Augmenter, OpsInAnyOrderLeaveNothingBehind) {
  for (const auto semantics : {AugmentSemantics::torchvision, AugmentSemantics::tf_v1}) {
    for (const int side : {8, 33, 48}) {
      Augmenter used(every_op(side, semantics));
      for (int i = 0; i < 60; ++i) {
        const TestImage image(1 + i * 7 % 90, 1 + i * 13 % 120, static_cast<std::uint32_t>(i));
        Augmenter fresh(every_op(side, semantics));
        const auto view = render(used, image, side, i);
        ASSERT_EQ(view, render(fresh, image, side, i)) << side << ' ' << i;
        for (const float value : view) ASSERT_TRUE(value >= 0.0F && value <= 1.0F + 1e-6F);
      }
    }
  }
}

TEST(Augmenter, TheIdentityBranchIsTheBaseCrop) {
  AugmentationConfig config = every_op(40);
  config.second_ops = AugmentationList{};
  Augmenter pair(config);
  Augmenter crop({.image_size = 40});
  for (int i = 0; i < 30; ++i) {
    const TestImage image(50 + i, 90 - i, static_cast<std::uint32_t>(i));
    const ViewKey key{.seed = 9, .epoch = 1, .sample = i, .view = 1};
    ViewParameters base;
    base.base = sample_view_parameters(config, key, 50 + i, 90 - i).base;
    base.has_base = true;
    std::vector<float> wanted = poisoned(40);
    crop.render(image.ref(), base, buffer_span(std::span(wanted)));
    ASSERT_EQ(render(pair, image, 40, i), wanted) << i;
  }
}

TEST(Augmenter, FourQuartersAreOneTurnAndMirrorsUndoEachOther) {
  using enum AugmentOp;
  for (const int side : {8, 31, 64}) {
    const TestImage image(side, side);
    Augmenter augmenter({.image_size = side});
    const auto turned = [&](int quarters, bool flipped) {
      ViewParameters view;
      view.quarter_turns = quarters;
      if (quarters > 0) view.add(rotate);
      if (flipped) view.add(flip);
      std::vector<float> out = poisoned(side);
      augmenter.render(image.ref(), view, buffer_span(std::span(out)));
      return out;
    };
    const auto at = [&](const std::vector<float>& view, int y, int x, int c) {
      return view[static_cast<std::size_t>((y * side + x) * 3 + c)];
    };
    const auto plain = turned(0, false);
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        const int c = (x + y) % 3;
        ASSERT_EQ(at(turned(1, false), y, x, c), at(plain, x, side - 1 - y, c));
        if (x > 3) break;
      }
      ASSERT_EQ(at(turned(2, false), y, 2, 0), at(plain, side - 1 - y, side - 3, 0));
      ASSERT_EQ(at(turned(3, true), y, 2, 1), at(turned(3, false), y, side - 3, 1));
      ASSERT_EQ(at(turned(3, false), y, 2, 1), at(plain, side - 3, y, 1));
    }
  }
}

TEST(Augmenter, ThreadsDoNotChangeTheBits) {
  AugmentationConfig config = simclr_augmentation(64);
  const TestImage image(90, 80);
  constexpr int kViews = 24;
  std::vector<std::vector<float>> alone;
  alone.reserve(kViews);
  Augmenter augmenter(config);
  for (int i = 0; i < kViews; ++i) alone.push_back(render(augmenter, image, 64, i));
  for (const int threads : {2, 5}) {
    std::vector<std::vector<float>> together(kViews);
    {
      std::vector<std::jthread> workers;
      workers.reserve(static_cast<std::size_t>(threads));
      for (int t = 0; t < threads; ++t) {
        workers.emplace_back([&, t] {
          Augmenter own(config);
          for (int i = t; i < kViews; i += threads) {
            together[static_cast<std::size_t>(i)] = render(own, image, 64, i);
          }
        });
      }
    }
    EXPECT_EQ(together, alone) << threads;
  }
}

TEST(Augmenter, InstructionSetsAgreeToRounding) {
  const augment::KernelList list = augment::available_kernels();
  for (const int side : {8, 28, 32, 67, 96}) {
    AugmentationConfig config = simclr_augmentation(side);
    Augmenter best(config);
    for (int k = 1; k < list.count; ++k) {
      Augmenter other(config, list.first + k);
      for (int i = 0; i < 30; ++i) {
        const TestImage image(20 + i * 5, 130 - i * 4, static_cast<std::uint32_t>(i));
        const double difference =
            largest_difference(render(best, image, side, i), render(other, image, side, i));
        ASSERT_LE(difference, 5e-6) << list.first[k].name << " side " << side << " view " << i;
      }
    }
  }
}

TEST(Augmenter, EveryValueStaysWithinZeroAndOne) {
  AugmentationConfig config = simclr_augmentation(40);
  config.color_strength = 2.5;
  Augmenter augmenter(config);
  TestImage image(60, 44);
  for (auto& pixel : image.pixels) pixel = pixel > 130 ? 255 : 0;  // bicubic overshoots at edges
  for (int i = 0; i < 200; ++i) {
    for (const float value : render(augmenter, image, 40, i)) {
      ASSERT_TRUE(value >= 0.0F && value <= 1.0F + 1e-6F) << value;
    }
  }
}

TEST(Augmenter, TheScalarFormulasAreTheOnesThatRender) {
  constexpr int kSide = 32;
  AugmentationConfig config = simclr_augmentation(kSide);
  Augmenter augmenter(config);
  const TestImage image(kSide, kSide);
  ViewParameters parameters;
  parameters.base = {0, 0, kSide, kSide};
  parameters.has_base = true;
  parameters.add(AugmentOp::color);
  parameters.add(AugmentOp::gray);
  parameters.contrast = 1;
  parameters.brightness = 1.3F;
  parameters.saturation = 0.4F;
  parameters.hue = -0.17F;
  std::vector<float> view = poisoned(kSide);
  augmenter.render(image.ref(), parameters, buffer_span(std::span(view)));
  for (std::size_t i = 0; i < view.size(); i += 3) {
    Rgb<float> p = {static_cast<float>(image.pixels[i]) / 255.0F,
                    static_cast<float>(image.pixels[i + 1]) / 255.0F,
                    static_cast<float>(image.pixels[i + 2]) / 255.0F};
    p = adjust_hue(adjust_saturation(adjust_brightness(p, 1.3F), 0.4F), -0.17F);
    ASSERT_LE(std::abs(view[i] - luma(p)), 1e-6F);
    ASSERT_EQ(view[i], view[i + 2]);
  }
}

TEST(Augmenter, RefusesWhatCannotBeMeant) {
  const auto refused = [](auto change) {
    AugmentationConfig config;
    change(config);
    EXPECT_THROW(Augmenter{config}, RefusedError);
  };
  refused([](auto& config) { config.image_size = 7; });
  refused([](auto& config) { config.image_size = 5121; });
  refused([](auto& config) { config.color_strength = -0.1; });
  refused([](auto& config) { config.color_strength = 2.6; });
  refused([](auto& config) { config.color_strength = std::nan(""); });
  refused([](auto& config) { config.mean = {0, 0, 0}; });
  refused([](auto& config) {
    config.additive_brightness = true;
    config.semantics = AugmentSemantics::tf_v2;
  });
  refused([](auto& config) {
    config.mean = {0, 0, 0};
    config.std = {1, 0, 1};
  });
  Augmenter augmenter({.image_size = 32});
  const TestImage image(40, 40);
  std::vector<float> view = poisoned(32);
  const BufferSpan out = buffer_span(std::span(view));
  EXPECT_THROW(augmenter.render(image.ref(), ViewKey{.sample = kMaxAugmentedSamples}, out), Error);
  EXPECT_THROW(augmenter.render(image.ref(), ViewKey{.view = 2}, out), Error);
  EXPECT_THROW(augmenter.render(image.ref(), ViewKey{}, {view.data(), view.size(), DType::i32}),
               Error);
  EXPECT_THROW(augmenter.render(image.ref(), ViewKey{}, out.subspan(0, view.size() - 1)), Error);
}

}  // namespace
}  // namespace simclr
