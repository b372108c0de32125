#pragma once
// Batches of augmented views, made ahead of time by threads of their own.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <memory_resource>
#include <span>
#include <string>
#include <vector>

#include "simclr/augment/augmentation.hpp"
#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/data/sampler.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {

enum class CacheMode : std::uint8_t {
  automatic,
  node,
  none,
  device,  ///< as `node`, for a copy in the device's memory (resident_images)
};

/// One sample as it is stored: raw pixels (height, width, 3), or an encoded image.
struct StoredImage {
  std::span<const std::byte> bytes;
  int height = 0;
  int width = 0;
  ImageEncoding encoding = ImageEncoding::raw;
};

/// What reading from the file system has cost (the `node` store reads once, when it is made).
struct ReadStatistics {
  double seconds = 0;
  std::uint64_t bytes = 0;
};

/// The stored images of a data set: the whole set in the node's shared memory (`node`), or fetched
/// from the shards for each batch (`none`). Collective to create; used by one thread at a time.
class SampleStore {
 public:
  SampleStore() = default;
  SampleStore(const SampleStore&) = delete;
  SampleStore& operator=(const SampleStore&) = delete;
  virtual ~SampleStore() = default;
  [[nodiscard]] virtual const ShardSetInfo& info() const = 0;
  [[nodiscard]] virtual const std::vector<std::int64_t>& labels() const = 0;
  /// These samples as stored, in this order, valid until the next call with the same `slot`
  /// (any small number; each has its own memory). Decoding is left to the threads that use them.
  virtual std::vector<StoredImage> fetch(const std::vector<std::int64_t>& samples, int slot) = 0;
  /// How many batches of this many samples are best fetched together (look-ahead for sorted reads).
  [[nodiscard]] virtual int batches_per_fetch(std::int64_t batch_samples) const = 0;
  virtual ReadStatistics take_read_statistics() = 0;
  [[nodiscard]] virtual std::string description() const = 0;  ///< mode, bytes, read rate
};

/// Turns stored images into pixels; owns scratch memory, so each thread has its own.
class ImageDecoder {
 public:
  ImageDecoder();
  ImageDecoder(ImageDecoder&&) noexcept;
  ImageDecoder& operator=(ImageDecoder&&) noexcept;
  ~ImageDecoder();
  /// Valid until the next call; raw images are not copied. Throws Error when an encoded image is
  /// corrupt or its size differs from the recorded one.
  ImageRef decode(const StoredImage& image);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// `automatic` is `node` where the set fits into the node's free memory and is refused, with
/// advice, where it does not. Throws RefusedError for bad shard sets (see ShardSet).
std::unique_ptr<SampleStore> open_sample_store(const std::filesystem::path& directory,
                                               CacheMode mode, Communicator& world, int threads);

/// Every image of the store in order, to be copied to a device; valid until the store's slot 0 is
/// fetched into again. Throws RefusedError unless the set is raw images of one size.
std::vector<ImageRef> resident_images(SampleStore& store);

/// What a batch carries: whatever it is, the views are the same.
enum class BatchContents : std::uint8_t {
  views,    ///< views rendered on the host
  images,   ///< stored pixels and the views' parameters, for a device that renders
  samples,  ///< the views' parameters alone, for a device that holds the images
};

struct ViewBatch {
  explicit ViewBatch(std::pmr::memory_resource* memory = std::pmr::get_default_resource())
      : views(memory), pixels(memory) {}

  std::int64_t step = 0;  ///< 0-based
  std::int64_t epoch = 0;
  std::vector<std::int64_t> sample_index;  ///< n, this rank's part of the global batch
  std::vector<std::int32_t> labels;        ///< n, or empty
  /// f32 (V*n, S, S, 3): view v of sample i at row v*n + i, V = views per sample.
  std::pmr::vector<float> views;
  std::vector<ViewParameters> parameters;  ///< V*n, in the order of the views
  std::vector<ImageRef> images;            ///< n, back to back in `pixels`
  std::pmr::vector<std::uint8_t> pixels;
};

struct LoaderConfig {
  AugmentationConfig augmentation;
  std::uint64_t seed = 0;
  Shuffle shuffle = Shuffle::full;
  std::int64_t batch_size = 0;  ///< global; rank r takes [r*n, (r+1)*n), n = batch_size / ranks
  int views_per_sample = 2;
  int rank = 0;
  int world_size = 1;
  int threads = 1;
  std::int64_t first_step = 0;
  std::int64_t end_step = 0;
  BatchContents contents = BatchContents::views;
  /// Where views and pixels lie: page-locked memory is copied to a device fastest.
  std::pmr::memory_resource* memory = std::pmr::get_default_resource();
};

/// Keeps the next batches ready (double buffering). Errors of its threads are rethrown by next().
/// Refuses BatchContents::samples for a set whose images are not raw and of one size.
class TrainingLoader {
 public:
  TrainingLoader(SampleStore& store, const LoaderConfig& config);
  TrainingLoader(const TrainingLoader&) = delete;
  TrainingLoader& operator=(const TrainingLoader&) = delete;
  ~TrainingLoader();
  /// The next batch, valid until the following call. Refused after the last step.
  const ViewBatch& next();
  /// Seconds the caller has waited in next() since the last call of this function.
  double take_stall_seconds();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
