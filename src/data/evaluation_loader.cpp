#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "batch_pipeline.hpp"
#include "simclr/core/check.hpp"

namespace simclr {

struct EvaluationLoader::Impl {
  Impl(SampleStore& sample_store, const EvaluationLoaderConfig& loader_config)
      : store(sample_store), config(loader_config) {
    require(config.batch_size >= 1, "an evaluation batch must have at least one image");
    require_same_ranks(store.group(), config.rank, config.world_size);
    augmentation.image_size = config.image_size;
    augmentation.mean = config.mean;
    augmentation.std = config.std;
    for (EvaluationBatch& batch : buffers) {
      batch.images = HostBuffer(config.image_type,
                                static_cast<std::size_t>(config.batch_size) * image_elements());
    }
    pipeline = std::make_unique<BatchPipeline>(store, plan());
  }

  /// First sample of a rank's part; the number of samples for rank == world_size.
  [[nodiscard]] std::int64_t part_begin(std::int64_t rank) const {
    return store.info().samples * rank / config.world_size;
  }
  [[nodiscard]] std::int64_t batches() const {
    std::int64_t most = 0;
    for (std::int64_t rank = 0; rank < config.world_size; ++rank) {
      most = std::max(most, part_begin(rank + 1) - part_begin(rank));
    }
    return (most + config.batch_size - 1) / config.batch_size;
  }
  [[nodiscard]] std::size_t image_elements() const {
    const auto side = static_cast<std::size_t>(config.image_size);
    return side * side * 3;
  }

  BatchPipeline::Plan plan() {
    return {.first = 0,
            .end = batches(),
            .batch_samples = config.batch_size,
            .threads = config.threads,
            .samples = [this](std::int64_t batch) { return wanted(batch); },
            .prepare = [this](std::int64_t batch, int buffer,
                              const auto& samples) { announce(batch, buffer, samples); },
            .make_render = [this] { return make_render(); }};
  }

  [[nodiscard]] std::int64_t first_sample(std::int64_t rank, std::int64_t batch) const {
    return std::min(part_begin(rank) + batch * config.batch_size, part_begin(rank + 1));
  }
  [[nodiscard]] WantedSamples wanted(std::int64_t batch) const {
    const FetchGroup group = store.group();
    WantedSamples parts(static_cast<std::size_t>(group.ranks));
    std::int64_t rank = config.rank - group.rank;
    for (std::vector<std::int64_t>& part : parts) {
      const std::int64_t first = first_sample(rank, batch);
      part.resize(static_cast<std::size_t>(first_sample(rank, batch + 1) - first));
      std::iota(part.begin(), part.end(), first);
      ++rank;
    }
    return parts;
  }

  void announce(std::int64_t number, int buffer, const std::vector<std::int64_t>& samples) {
    EvaluationBatch& batch = buffers[static_cast<std::size_t>(buffer)];
    batch.first_sample = first_sample(config.rank, number);
    batch.count = static_cast<std::int64_t>(samples.size());
    copy_labels(store, samples, batch.labels);
    const BufferSpan all = batch.images.span();
    const std::size_t valid = samples.size() * image_elements();
    const BufferSpan padding = all.subspan(valid, all.count - valid);
    std::memset(padding.data, 0, padding.bytes());
  }

  BatchPipeline::Render make_render() {
    auto augmenter = std::make_shared<Augmenter>(augmentation);
    auto decoder = std::make_shared<ImageDecoder>();
    return [this, augmenter, decoder](const BatchPipeline::Item& item) {
      auto& images = buffers[static_cast<std::size_t>(item.buffer)].images;
      augmenter->render_evaluation(
          decoder->decode(item.image),
          images.span().subspan(item.row * image_elements(), image_elements()));
    };
  }

  SampleStore& store;
  EvaluationLoaderConfig config;
  AugmentationConfig augmentation;
  std::array<EvaluationBatch, BatchPipeline::kBuffers> buffers;
  std::unique_ptr<BatchPipeline> pipeline;  // last member, since its threads use all others
};

EvaluationLoader::EvaluationLoader(SampleStore& store, const EvaluationLoaderConfig& config)
    : impl_(std::make_unique<Impl>(store, config)) {}
EvaluationLoader::~EvaluationLoader() = default;

std::int64_t EvaluationLoader::begin_sample() const {
  return impl_->part_begin(impl_->config.rank);
}
std::int64_t EvaluationLoader::batches() const { return impl_->batches(); }

const EvaluationBatch* EvaluationLoader::next() {
  if (impl_->pipeline->finished()) return nullptr;
  return &impl_->buffers[static_cast<std::size_t>(impl_->pipeline->next())];
}

}  // namespace simclr
