#include <array>

#include "batch_pipeline.hpp"
#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"

namespace simclr {

ImageRef ImageDecoder::decode(const StoredImage& image) {
  if (image.encoding == ImageEncoding::raw) {
    return {reinterpret_cast<const std::uint8_t*>(image.bytes.data()), image.height, image.width};
  }
  decode_stored_image(image.bytes, image.height, image.width, image_);
  return {image_.pixels.data(), image.height, image.width};
}

struct TrainingLoader::Impl {
  Impl(SampleStore& sample_store, LoaderConfig loader_config)
      : store(sample_store),
        config(std::move(loader_config)),
        sampler(store.info().samples, config.shuffle, config.seed, config.batch_size) {
    require(config.batch_size % config.world_size == 0,
            "the ranks must share a batch without a rest");
    require(store.info().samples <= kMaxAugmentedSamples,
            "the number of samples must not exceed kMaxAugmentedSamples");
    require_same_ranks(store.group(), config.rank, config.world_size);
    pipeline = std::make_unique<BatchPipeline>(store, plan());
  }

  [[nodiscard]] ViewBatch empty_batch() const {
    return {.labels = std::pmr::vector<std::int32_t>(config.memory),
            .views = HostBuffer(config.view_type, rows() * view_elements(), config.memory)};
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
            .samples = [this](std::int64_t step) { return wanted(step); },
            .prepare = [this](std::int64_t step, int buffer,
                              const auto& samples) { announce(step, buffer, samples); },
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
    copy_labels(store, samples, batch.labels);
    if (batch.labels.empty()) batch.labels.assign(samples.size(), kNoLabel);
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
    auto augmenter = std::make_shared<Augmenter>(config.augmentation);
    auto decoder = std::make_shared<ImageDecoder>();
    return [this, augmenter, decoder](const BatchPipeline::Item& item) {
      const ImageRef image = decoder->decode(item.image);
      const BufferSpan views = buffer_of(item.buffer).views.span();
      for (int view = 0; view < config.views_per_sample; ++view) {
        augmenter->render(image, key_of(item, view),
                          views.subspan(row_of(item, view) * view_elements(), view_elements()));
      }
    };
  }

  SampleStore& store;
  LoaderConfig config;
  Sampler sampler;  // batch() is called by the reading thread only
  std::array<ViewBatch, BatchPipeline::kBuffers> batches{empty_batch(), empty_batch()};
  std::unique_ptr<BatchPipeline> pipeline;  // last member, since its threads use all others
};

TrainingLoader::TrainingLoader(SampleStore& store, const LoaderConfig& config)
    : impl_(std::make_unique<Impl>(store, config)) {}
TrainingLoader::~TrainingLoader() = default;

const ViewBatch& TrainingLoader::next() {
  require(!impl_->pipeline->finished(), "the loader has no batch after the last step");
  return impl_->batches[static_cast<std::size_t>(impl_->pipeline->next())];
}

void TrainingLoader::return_to(std::int64_t step) {
  impl_->pipeline.reset();  // ends its threads before new ones write into the buffers
  impl_->config.first_step = step;
  impl_->pipeline = std::make_unique<BatchPipeline>(impl_->store, impl_->plan());
}

double TrainingLoader::take_stall_seconds() { return impl_->pipeline->take_stall_seconds(); }
ReadStatistics TrainingLoader::take_read_statistics() {
  return impl_->store.take_read_statistics();
}

}  // namespace simclr
