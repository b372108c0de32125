#include <array>
#include <cstring>

#include "batch_pipeline.hpp"
#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/data/resident_images.hpp"

namespace simclr {

struct TrainingLoader::Impl {
  Impl(SampleStore& sample_store, const LoaderConfig& loader_config)
      : store(sample_store),
        config(loader_config),
        sampler(store.info().samples, config.shuffle, config.seed, config.batch_size) {
    if (config.batch_size % config.world_size != 0) {
      refuse("--batch-size {}: not divisible by the {} ranks", config.batch_size,
             config.world_size);
    }
    if (config.contents == BatchContents::samples) require_resident(store.info());
    require(store.info().samples <= kMaxAugmentedSamples, "sample indices fit the counters");
    require_same_ranks(store.group(), config.rank, config.world_size);
    for (ViewBatch& batch : batches) {
      if (config.contents == BatchContents::views) batch.views.resize(rows() * view_elements());
      if (config.contents != BatchContents::views) batch.parameters.resize(rows());
    }
    pipeline = std::make_unique<BatchPipeline>(store, plan());
  }

  [[nodiscard]] std::int64_t local_samples() const { return config.batch_size / config.world_size; }
  [[nodiscard]] std::size_t rows() const {
    return static_cast<std::size_t>(local_samples() * config.views_per_sample);
  }
  [[nodiscard]] std::size_t view_elements() const {
    const auto side = static_cast<std::size_t>(config.augmentation.image_size);
    return side * side * 3;
  }

  BatchPipeline::Plan plan() {
    return {.first = config.first_step,
            .end = std::max(config.first_step, config.end_step),
            .batch_samples = local_samples(),
            .threads = config.threads,
            .fetch = config.contents != BatchContents::samples,
            .samples = [this](std::int64_t step) { return wanted(step); },
            .prepare =
                [this](std::int64_t step, int buffer, const auto& samples, const auto& images) {
                  announce(step, buffer, samples);
                  if (config.contents == BatchContents::images) place_images(buffer, images);
                },
            .make_render = [this] { return make_render(); }};
  }

  WantedSamples wanted(std::int64_t step) {
    const std::vector<std::int64_t> global = sampler.batch(step);
    const FetchGroup group = store.group();
    auto begin = global.begin() + (config.rank - group.rank) * local_samples();
    WantedSamples parts;
    for (int r = 0; r < group.ranks; ++r, begin += local_samples()) {
      parts.emplace_back(begin, begin + local_samples());
    }
    return parts;
  }

  void announce(std::int64_t step, int buffer, const std::vector<std::int64_t>& samples) {
    ViewBatch& batch = buffer_of(buffer);
    batch.step = step;
    batch.epoch = sampler.epoch_of(step);
    batch.sample_index = samples;
    batch.labels.clear();
    if (!store.info().labelled) return;
    for (const std::int64_t sample : samples) {
      batch.labels.push_back(
          static_cast<std::int32_t>(store.labels()[static_cast<std::size_t>(sample)]));
    }
  }

  /// Where each image of the batch will lie.
  void place_images(int buffer, const std::vector<StoredImage>& stored) {
    ViewBatch& batch = buffer_of(buffer);
    std::size_t bytes = 0;
    for (const StoredImage& image : stored) bytes += pixel_bytes(image);
    if (bytes > batch.pixels.capacity()) {
      batch.pixels.clear();  // not worth keeping
      batch.pixels.reserve(store.info().fixed_size ? bytes : bytes + bytes / 4);
    }
    batch.pixels.resize(bytes);
    batch.images.clear();
    const std::uint8_t* at = batch.pixels.data();
    for (const StoredImage& image : stored) {
      batch.images.push_back({at, image.height, image.width});
      at += pixel_bytes(image);
    }
  }
  static std::size_t pixel_bytes(const StoredImage& image) {
    return std::size_t{3} * static_cast<std::size_t>(image.height) *
           static_cast<std::size_t>(image.width);
  }

  ViewBatch& buffer_of(int buffer) { return batches[static_cast<std::size_t>(buffer)]; }
  [[nodiscard]] std::size_t row_of(const BatchPipeline::Item& item, int view) const {
    return static_cast<std::size_t>(view * local_samples()) + item.row;
  }
  [[nodiscard]] ViewKey key_of(const BatchPipeline::Item& item, int view) const {
    return {.seed = config.seed,
            .epoch = static_cast<std::uint32_t>(sampler.epoch_of(item.batch)),
            .sample = item.sample,
            .view = static_cast<std::uint32_t>(view)};
  }

  BatchPipeline::Render make_render() {
    switch (config.contents) {
      case BatchContents::views:
        return render_views();
      case BatchContents::images:
        return copy_images();
      case BatchContents::samples:
        break;
    }
    return [this](const BatchPipeline::Item& item) {
      sample_parameters(item, store.info().height, store.info().width);
    };
  }

  BatchPipeline::Render render_views() {
    auto augmenter = std::make_shared<Augmenter>(config.augmentation);
    auto decoder = std::make_shared<ImageDecoder>();
    return [this, augmenter, decoder](const BatchPipeline::Item& item) {
      const ImageRef image = decoder->decode(item.image);
      const std::span<float> views = buffer_of(item.buffer).views;
      for (int view = 0; view < config.views_per_sample; ++view) {
        augmenter->render(image, key_of(item, view),
                          views.subspan(row_of(item, view) * view_elements(), view_elements()));
      }
    };
  }

  BatchPipeline::Render copy_images() {
    auto decoder = std::make_shared<ImageDecoder>();
    return [this, decoder](const BatchPipeline::Item& item) {
      const ImageRef image = decoder->decode(item.image);
      ViewBatch& batch = buffer_of(item.buffer);
      const std::ptrdiff_t at = batch.images[item.row].pixels - batch.pixels.data();
      std::memcpy(batch.pixels.data() + at, image.pixels, pixel_bytes(item.image));
      sample_parameters(item, image.height, image.width);
    };
  }

  void sample_parameters(const BatchPipeline::Item& item, int height, int width) {
    for (int view = 0; view < config.views_per_sample; ++view) {
      buffer_of(item.buffer).parameters[row_of(item, view)] =
          sample_view_parameters(config.augmentation, key_of(item, view), height, width);
    }
  }

  SampleStore& store;
  LoaderConfig config;
  Sampler sampler;  // batch() is called by the reading thread only
  std::array<ViewBatch, BatchPipeline::kBuffers> batches{ViewBatch(config.memory),
                                                         ViewBatch(config.memory)};
  std::unique_ptr<BatchPipeline> pipeline;  // last: its threads use all of the above
};

TrainingLoader::TrainingLoader(SampleStore& store, const LoaderConfig& config)
    : impl_(std::make_unique<Impl>(store, config)) {}
TrainingLoader::~TrainingLoader() = default;

const ViewBatch& TrainingLoader::next() {
  if (impl_->pipeline->finished()) {
    refuse("the loader was made for steps {} to {} and has given them all",
           impl_->config.first_step, impl_->config.end_step - 1);
  }
  return impl_->batches[static_cast<std::size_t>(impl_->pipeline->next())];
}

void TrainingLoader::return_to(std::int64_t step) {
  impl_->pipeline.reset();  // its threads end before others write into the buffers
  impl_->config.first_step = step;
  impl_->pipeline = std::make_unique<BatchPipeline>(impl_->store, impl_->plan());
}

double TrainingLoader::take_stall_seconds() { return impl_->pipeline->take_stall_seconds(); }
ReadStatistics TrainingLoader::take_read_statistics() {
  return impl_->store.take_read_statistics();
}

}  // namespace simclr
