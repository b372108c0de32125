// Views that a device renders from stored images are those of the host, to rounding.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backend/cuda/kernels/render_views.hpp"
#include "backend/on_each_backend.hpp"
#include "simclr/augment/augmentation.hpp"
#include "simclr/core/check.hpp"

namespace simclr::testing {

namespace {

/// A batch's images back to back, as the loader has them: noise over waves, edges included.
class Images {
 public:
  void add(int height, int width) {
    PhiloxStream stream(7, RandomPurpose::kShuffle, static_cast<std::uint32_t>(sizes_.size()), 0);
    const float frequency = stream.uniform(0.02F, 0.4F);
    for (int y = 0; y < height; ++y) {
      for (int i = 0; i < width * 3; ++i) {
        const int along = y + i / 3 * (1 + i % 3);
        const float phase = frequency * static_cast<float>(along);
        const float wave = 128 + 120 * std::sin(phase) + stream.uniform(-60, 60);
        pixels_.push_back(static_cast<std::uint8_t>(std::clamp(wave, 0.0F, 255.0F)));
      }
    }
    sizes_.push_back({nullptr, height, width});
  }
  [[nodiscard]] std::vector<ImageRef> refs() const {
    std::vector<ImageRef> refs = sizes_;
    const std::uint8_t* at = pixels_.data();
    for (ImageRef& ref : refs) {
      ref.pixels = at;
      at += std::ptrdiff_t{3} * ref.height * ref.width;
    }
    return refs;
  }

 private:
  std::vector<std::uint8_t> pixels_;
  std::vector<ImageRef> sizes_;
};

/// Images of many sizes, smaller and larger than the view.
Images many_images(int count, int side) {
  Images images;
  PhiloxStream stream(3, RandomPurpose::kShuffle, static_cast<std::uint32_t>(side), 0);
  for (int i = 0; i < count; ++i) {
    const auto most = static_cast<std::uint32_t>(i % 4 == 0 ? 6 * side : 2 * side);
    const int height = 1 + static_cast<int>(stream.below(most));
    images.add(height, 1 + static_cast<int>(stream.below(most)));
  }
  return images;
}

std::vector<ViewParameters> sample(const AugmentationConfig& config,
                                   const std::vector<ImageRef>& images, std::uint64_t seed) {
  std::vector<ViewParameters> parameters;
  for (std::uint32_t view = 0; view < 2; ++view) {
    for (std::size_t i = 0; i < images.size(); ++i) {
      const ViewKey key{.seed = seed, .sample = static_cast<std::int64_t>(i), .view = view};
      parameters.push_back(sample_view_parameters(config, key, images[i].height, images[i].width));
    }
  }
  return parameters;
}

class DeviceRendering : public OnEachBackend {
 protected:
  void SetUp() override {
    OnEachBackend::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(backend_->renders_views());
  }

  /// What a stage makes of one batch.
  std::vector<float> render(const AugmentationConfig& config, const std::vector<ImageRef>& images,
                            const std::vector<ViewParameters>& parameters) {
    Target target = make_target(config, parameters.size());
    InputStageSpec spec = target.spec;
    spec.rendering = config;
    spec.samples = std::ssize(images);
    for (const ImageRef& image : images) {
      spec.most_image_bytes =
          std::max(spec.most_image_bytes, std::int64_t{3} * image.height * image.width);
    }
    const auto stage = backend_->make_input_stage(spec);
    stage->stage({.parameters = parameters, .images = images});
    stage->commit();
    return download(target);
  }

  struct Target {
    Buffer memory;
    InputStageSpec spec;
  };
  Target make_target(const AugmentationConfig& config, std::size_t views) {
    Target target;
    const std::int64_t side = config.image_size;
    target.spec.tensor = {.name = "views",
                          .shape = {static_cast<std::int64_t>(views), side, side, 3},
                          .dtype = DType::f32,
                          .storage = Storage::input,
                          .offset = 0};
    target.memory = backend_->allocate(backend_->storage_bytes(target.spec.tensor));
    target.spec.address = target.memory.data();
    backend_->poison({target.memory.data(), target.memory.bytes()});
    return target;
  }
  std::vector<float> download(const Target& target) {
    std::vector<float> views(static_cast<std::size_t>(target.spec.tensor.shape.elements()), NAN);
    backend_->download(target.spec.tensor, target.spec.address, buffer_span(std::span(views)));
    return views;
  }
};

std::vector<float> render_on_host(const AugmentationConfig& config,
                                  const std::vector<ImageRef>& images,
                                  const std::vector<ViewParameters>& parameters) {
  const auto side = static_cast<std::size_t>(config.image_size);
  const std::size_t elements = side * side * 3;
  std::vector<float> views(elements * parameters.size(), NAN);
  Augmenter augmenter(config);
  for (std::size_t v = 0; v < parameters.size(); ++v) {
    augmenter.render(images[v % images.size()], parameters[v],
                     std::span(views).subspan(v * elements, elements));
  }
  return views;
}

/// Differences of rounding alone: hue and contrast make some ten of float's steps of it.
constexpr float kTolerance = 5e-6F;

void expect_near(const std::vector<float>& got, const std::vector<float>& wanted, int side,
                 float tolerance) {
  ASSERT_EQ(got.size(), wanted.size());
  const auto pixels = static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(got[i] - wanted[i]), tolerance)
        << "side " << side << " view " << i / 3 / pixels << " row "
        << i / 3 % pixels / static_cast<std::size_t>(side) << " column "
        << i / 3 % static_cast<std::size_t>(side) << " channel " << i % 3 << ": " << got[i]
        << " for " << wanted[i];
  }
}

TEST_P(DeviceRendering, IsThatOfTheHost) {
  for (const int side : {8, 9, 13, 22, 32, 33, 47, 64}) {
    for (const Interpolation interpolation : {Interpolation::bicubic, Interpolation::bilinear}) {
      AugmentationConfig config;
      config.image_size = side;
      config.interpolation = interpolation;
      config.additive_brightness = side % 2 == 1;
      const Images images = many_images(16, side);
      const auto parameters = sample(config, images.refs(), 11);
      const auto wanted = render_on_host(config, images.refs(), parameters);
      expect_near(render(config, images.refs(), parameters), wanted, side, kTolerance);
    }
  }
}

TEST_P(DeviceRendering, IsThatOfTheHostInTwoLaunches) {
  for (const int side : {150, 224}) {
    AugmentationConfig config;
    config.image_size = side;
    Images images;
    images.add(256, 341);
    images.add(375, 500);
    images.add(113, 97);
    const auto parameters = sample(config, images.refs(), 2);
    EXPECT_TRUE(std::ranges::any_of(parameters, &ViewParameters::blur));
    EXPECT_TRUE(std::ranges::any_of(parameters, &ViewParameters::jitter));
    const auto wanted = render_on_host(config, images.refs(), parameters);
    expect_near(render(config, images.refs(), parameters), wanted, side, kTolerance);
  }
}

TEST_P(DeviceRendering, NormalisesLast) {
  AugmentationConfig config;
  config.image_size = 32;
  config.mean = {0.5F, 0.4F, 0.3F};
  config.std = {0.2F, 0.25F, 0.5F};
  const Images images = many_images(16, 32);
  const auto parameters = sample(config, images.refs(), 5);
  const auto wanted = render_on_host(config, images.refs(), parameters);
  expect_near(render(config, images.refs(), parameters), wanted, 32, 5 * kTolerance);
}

TEST_P(DeviceRendering, WithoutOpsIsTheStoredPixels) {
  for (const int side : {8, 27, 32, 100, 130}) {
    AugmentationConfig config;
    config.crop = config.flip = config.color = config.gray = config.blur = false;
    config.image_size = side;
    Images images;
    for (int i = 0; i < 3; ++i) images.add(side, side);
    const auto parameters = sample(config, images.refs(), 1);
    EXPECT_EQ(render(config, images.refs(), parameters),
              render_on_host(config, images.refs(), parameters));
  }
}

TEST_P(DeviceRendering, WithoutCropHasTheEvaluationGeometry) {
  AugmentationConfig config;
  config.crop = false;
  config.image_size = 40;
  Images images;
  images.add(50, 70);
  images.add(131, 44);
  images.add(40, 41);
  const auto parameters = sample(config, images.refs(), 1);
  const auto wanted = render_on_host(config, images.refs(), parameters);
  expect_near(render(config, images.refs(), parameters), wanted, 40, kTolerance);
}

TEST_P(DeviceRendering, OfAResidentDataSetGivesTheSameBits) {
  AugmentationConfig config;
  config.image_size = 32;
  Images images;
  for (int i = 0; i < 12; ++i) images.add(35, 33);
  const std::vector<ImageRef> all = images.refs();
  Target target = make_target(config, 6);
  InputStageSpec spec = target.spec;
  spec.rendering = config;
  spec.samples = 3;
  spec.resident = all;
  const auto stage = backend_->make_input_stage(spec);
  for (const std::vector<std::int64_t>& samples :
       std::vector<std::vector<std::int64_t>>{{4, 0, 11}, {7, 7, 1}}) {
    std::vector<ImageRef> chosen;
    chosen.reserve(samples.size());
    for (const std::int64_t sample : samples) {
      chosen.push_back(all[static_cast<std::size_t>(sample)]);
    }
    const auto parameters = sample(config, chosen, 9);
    stage->stage({.parameters = parameters, .samples = samples});
    stage->commit();
    EXPECT_EQ(download(target), render(config, chosen, parameters));
  }
  const std::vector<std::int64_t> outside = {1, 2, 12};
  const auto parameters = sample(config, {all[0], all[1], all[2]}, 9);
  EXPECT_THROW(stage->stage({.parameters = parameters, .samples = outside}), Error);
}

TEST_P(DeviceRendering, OfABatchCommittedAgainGivesTheSameBits) {
  AugmentationConfig config;
  config.image_size = 64;
  Images images;
  for (int i = 0; i < 4; ++i) images.add(70, 73);
  const std::vector<ImageRef> all = images.refs();
  const auto parameters = sample(config, all, 13);
  EXPECT_TRUE(std::ranges::any_of(parameters, &ViewParameters::jitter));
  Target target = make_target(config, parameters.size());
  InputStageSpec spec = target.spec;
  spec.rendering = config;
  spec.samples = std::ssize(all);
  spec.resident = all;
  const std::vector<std::int64_t> samples = {2, 0, 3, 1};
  const auto stage = backend_->make_input_stage(spec);
  stage->stage({.parameters = parameters, .samples = samples});
  stage->commit();
  const std::vector<float> once = download(target);
  for (int again = 0; again < 2; ++again) {
    backend_->poison({target.memory.data(), target.memory.bytes()});
    stage->commit();
    EXPECT_EQ(download(target), once);
  }
}

TEST_P(DeviceRendering, SaysHowMuchAResidentDataSetLacks) {
  AugmentationConfig config;
  config.image_size = 32;
  const std::vector<ImageRef> all(1000, {nullptr, 30000, 30000});
  Target target = make_target(config, 2);
  InputStageSpec spec = target.spec;
  spec.rendering = config;
  spec.samples = 1;
  spec.resident = all;
  try {
    backend_->make_input_stage(spec);
    FAIL() << "2700 GB fit into the device";
  } catch (const RefusedError& error) {
    EXPECT_NE(std::string(error.what()).find("2700.00 GB"), std::string::npos) << error.what();
  }
}

TEST_P(DeviceRendering, TakesBatchesOfGrowingImages) {
  AugmentationConfig config;
  config.image_size = 16;
  Target target = make_target(config, 2);
  InputStageSpec spec = target.spec;
  spec.rendering = config;
  spec.samples = 1;
  spec.most_image_bytes = 3 * 90 * 90;
  const auto stage = backend_->make_input_stage(spec);
  for (const int size : {20, 10, 50, 90}) {
    Images images;
    images.add(size, size);
    const auto parameters = sample(config, images.refs(), 4);
    const std::vector<ImageRef> refs = images.refs();
    stage->stage({.parameters = parameters, .images = refs});
    stage->commit();
    expect_near(download(target), render_on_host(config, refs, parameters), 16, kTolerance);
  }
  Images large;
  large.add(91, 90);
  const std::vector<ImageRef> refs = large.refs();
  const auto parameters = sample(config, refs, 4);
  EXPECT_THROW(stage->stage({.parameters = parameters, .images = refs}), Error);
}

TEST_P(DeviceRendering, RefusesImagesTooWideForABlock) {
  AugmentationConfig config;
  config.image_size = 8;
  Images images;
  images.add(2, 60000);
  ViewParameters whole;
  whole.crop = {0, 0, 2, 60000};
  EXPECT_THROW(render(config, images.refs(), {whole}), RefusedError);
}

TEST_P(DeviceRendering, ATileMoreChangesNoBit) {
  AugmentationConfig config;
  config.image_size = 60;
  const Images images = many_images(8, 60);
  const auto parameters = sample(config, images.refs(), 21);
  std::size_t bytes = 0;
  for (const ImageRef& image : images.refs()) {
    bytes += std::size_t{3} * static_cast<std::size_t>(image.height * image.width);
  }
  const auto put = [&](const void* from, std::size_t count) {
    Buffer memory = backend_->allocate(count);
    EXPECT_EQ(cudaMemcpy(memory.data(), from, count, cudaMemcpyHostToDevice), cudaSuccess);
    return memory;
  };
  const std::vector<ImageRef> refs = images.refs();
  const Buffer pixels = put(refs[0].pixels, bytes);
  std::vector<cuda::ViewTask> tasks;
  for (std::size_t v = 0; v < parameters.size(); ++v) {
    const ImageRef& image = refs[v % refs.size()];
    const auto* at =
        reinterpret_cast<const std::uint8_t*>(pixels.data()) + (image.pixels - refs[0].pixels);
    tasks.push_back(cuda::make_view_task(config, at, image.height, image.width, parameters[v]));
  }
  const std::size_t task_bytes = tasks.size() * sizeof(cuda::ViewTask);
  const Buffer on_device = put(tasks.data(), task_bytes);
  const Buffer sums = backend_->allocate(tasks.size() * 8 * sizeof(std::int64_t));
  std::vector<cuda::TilePlan> plans;
  for (const std::size_t limit : {std::size_t{200} << 10, std::size_t{64} << 10}) {
    plans.push_back(cuda::plan_tiles(tasks, config.image_size, limit));
  }
  EXPECT_EQ(plans[0].tiles, 1);
  EXPECT_GT(plans[1].tiles, 1);
  for (const bool by_rows : {false, true}) {
    cuda::TilePlan& plan = plans.emplace_back(plans[0]);
    plan.width = 32;
    plan.tiles = 2;
    plan.by_rows = by_rows;
  }
  std::vector<float> whole;
  for (const cuda::TilePlan& plan : plans) {
    const Target target = make_target(config, parameters.size());
    cuda::render_views(reinterpret_cast<const cuda::ViewTask*>(on_device.data()), std::ssize(tasks),
                       true, plan, cuda::render_settings(config),
                       reinterpret_cast<std::int64_t*>(sums.data()),
                       reinterpret_cast<float*>(target.memory.data()), nullptr);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    const std::vector<float> views = download(target);
    if (whole.empty()) whole = views;
    EXPECT_EQ(views, whole) << plan.tiles << " tiles, by rows: " << plan.by_rows;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, DeviceRendering, each_backend(), name_of_backend);

}  // namespace

}  // namespace simclr::testing
