#include <array>

#include "batch_pipeline.hpp"
#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"

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
    const std::int64_t rows = local_samples() * config.views_per_sample;
    for (ViewBatch& batch : batches) {
      batch.views.resize(static_cast<std::size_t>(rows) * view_elements());
    }
    pipeline = std::make_unique<BatchPipeline>(store, plan());
  }

  [[nodiscard]] std::int64_t local_samples() const { return config.batch_size / config.world_size; }
  [[nodiscard]] std::size_t view_elements() const {
    const auto side = static_cast<std::size_t>(config.augmentation.image_size);
    return side * side * 3;
  }

  BatchPipeline::Plan plan() {
    return {.first = config.first_step,
            .end = std::max(config.first_step, config.end_step),
            .batch_samples = local_samples(),
            .threads = config.threads,
            .samples = [this](std::int64_t step) { return local_part(step); },
            .prepare = [this](std::int64_t step, int buffer,
                              const auto& samples) { announce(step, buffer, samples); },
            .make_render = [this] { return make_render(); }};
  }

  std::vector<std::int64_t> local_part(std::int64_t step) {
    const std::vector<std::int64_t> global = sampler.batch(step);
    const auto begin = global.begin() + config.rank * local_samples();
    return {begin, begin + local_samples()};
  }

  void announce(std::int64_t step, int buffer, const std::vector<std::int64_t>& samples) {
    ViewBatch& batch = batches[static_cast<std::size_t>(buffer)];
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

  BatchPipeline::Render make_render() {
    auto augmenter = std::make_shared<Augmenter>(config.augmentation);
    auto decoder = std::make_shared<ImageDecoder>();
    return [this, augmenter, decoder](const BatchPipeline::Item& item) {
      const ImageRef image = decoder->decode(item.image);
      auto& views = batches[static_cast<std::size_t>(item.buffer)].views;
      for (int view = 0; view < config.views_per_sample; ++view) {
        const std::size_t row = static_cast<std::size_t>(view * local_samples()) + item.row;
        augmenter->render(image,
                          {.seed = config.seed,
                           .epoch = static_cast<std::uint32_t>(sampler.epoch_of(item.batch)),
                           .sample = item.sample,
                           .view = static_cast<std::uint32_t>(view)},
                          std::span(views).subspan(row * view_elements(), view_elements()));
      }
    };
  }

  SampleStore& store;
  LoaderConfig config;
  Sampler sampler;  // batch() is called by the reading thread only
  std::array<ViewBatch, BatchPipeline::kBuffers> batches;
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

double TrainingLoader::take_stall_seconds() { return impl_->pipeline->take_stall_seconds(); }

}  // namespace simclr
