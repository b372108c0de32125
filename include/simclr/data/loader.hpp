#pragma once
// Batches of augmented views, made ahead of time by threads of their own.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <memory_resource>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "simclr/augment/augmentation.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/data/sampler.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/tensor/host_buffer.hpp"

namespace simclr {

enum class CacheMode : std::uint8_t {
  automatic,    ///< `node` where the set fits into every node's memory, else `distributed`
  node,         ///< the whole set in memory that a node's ranks share
  distributed,  ///< a part of the set in each rank's memory; ranks fetch from each other
  none,         ///< read from the shards for each batch
};

/// One sample as it is stored: raw pixels (height, width, 3), or an encoded image.
struct StoredImage {
  std::span<const std::byte> bytes;
  int height = 0;
  int width = 0;
  ImageEncoding encoding = ImageEncoding::raw;
};

/// What fetching has cost this rank.
struct ReadStatistics {
  double seconds = 0;               ///< of the thread that fetches
  std::uint64_t bytes_read = 0;     ///< from the shards
  std::uint64_t bytes_fetched = 0;  ///< from other ranks' memory
};

/// Ranks that fetch together, since each holds what the others want; or one that needs nobody.
struct FetchGroup {
  int rank = 0;  ///< this one
  int ranks = 1;
};
/// What each rank of a group wants, in rank order.
using WantedSamples = std::vector<std::vector<std::int64_t>>;

/// The stored images of a data set, wherever the cache mode keeps them. Collective to create and to
/// destroy; used by one thread at a time (but for take_read_statistics).
class SampleStore {
 public:
  SampleStore() = default;
  SampleStore(const SampleStore&) = delete;
  SampleStore& operator=(const SampleStore&) = delete;
  virtual ~SampleStore() = default;
  [[nodiscard]] virtual const ShardSetInfo& info() const = 0;
  [[nodiscard]] virtual const std::vector<std::int64_t>& labels() const = 0;
  [[nodiscard]] virtual FetchGroup group() const = 0;
  /// This rank's samples of `wanted` as stored, in the order asked for, valid until the next call
  /// with the same `slot` (any small number; each has its own memory). All ranks of the group make
  /// the same calls with the same samples, in one order, each at its own pace. Nothing when `stop`
  /// is requested meanwhile: the call counts as made, and its messages are still under way.
  virtual std::vector<StoredImage> fetch_together(const WantedSamples& wanted, int slot,
                                                  const std::stop_token& stop) = 0;
  /// The same for stores whose ranks need nobody.
  std::vector<StoredImage> fetch(const std::vector<std::int64_t>& samples, int slot);
  /// Ends messages that are under way and says how many calls of fetch_together() this rank is
  /// behind the rank that has made most: it has to make them before the group does anything else.
  /// Collective over the group.
  virtual std::int64_t fetches_behind() = 0;
  /// How many batches of this many samples are best fetched together (look-ahead for sorted reads).
  [[nodiscard]] virtual int batches_per_fetch(std::int64_t batch_samples) const = 0;
  /// Since the last call; at first, of reading the set when the store was made.
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

/// `automatic` takes the first mode of `node` and `distributed` that the measured memory allows,
/// the same on all ranks, and says why in the description. What does not fit is refused with sizes
/// and advice; `none` is never taken unasked. `batch_samples`: what a rank fetches at a time, for
/// the size of the buffers. Throws RefusedError for bad shard sets, too (see ShardSet). Collective.
std::unique_ptr<SampleStore> open_sample_store(const std::filesystem::path& directory,
                                               CacheMode mode, Communicator& world, int threads,
                                               std::int64_t batch_samples = 0);

/// Refuses a data set that open_sample_store() would refuse, from sizes alone: reads no image.
/// Collective.
void require_cache_fits(const std::filesystem::path& directory, CacheMode mode, Communicator& world,
                        std::int64_t batch_samples);

struct ViewBatch {
  std::int64_t step = 0;  ///< 0-based
  std::int64_t epoch = 0;
  std::vector<std::int64_t> sample_index;  ///< n, this rank's part of the global batch
  std::pmr::vector<std::int32_t> labels;   ///< n, or empty
  /// (V*n, S, S, 3): view v of sample i at row v*n + i, V = views per sample.
  HostBuffer views;
};

struct LoaderConfig {
  AugmentationConfig augmentation;
  std::uint64_t seed = 0;
  Shuffle shuffle = Shuffle::full;
  std::int64_t batch_size = 0;  ///< global; rank r takes [r*n, (r+1)*n), n = batch_size / ranks
  int views_per_sample = 2;
  DType view_type = DType::f32;  ///< f32, bf16 or f16: that of the program's "views"
  int rank = 0;
  int world_size = 1;
  int threads = 1;
  std::int64_t first_step = 0;
  std::int64_t end_step = 0;
  /// Where views and labels lie: page-locked memory is copied to a device fastest.
  std::pmr::memory_resource* memory = std::pmr::get_default_resource();
};

/// Keeps the next batches ready (double buffering). Errors of its threads are rethrown by next().
/// With a store whose ranks fetch together, ranks q of its group load as ranks rank - group rank +
/// q; all create and destroy their loaders together, at whatever step they agree to stop.
class TrainingLoader {
 public:
  TrainingLoader(SampleStore& store, const LoaderConfig& config);
  TrainingLoader(const TrainingLoader&) = delete;
  TrainingLoader& operator=(const TrainingLoader&) = delete;
  ~TrainingLoader();
  /// The next batch, valid until the following call. Refused after the last step.
  const ViewBatch& next();
  /// The next batch is that of `step`, again. Together for ranks that fetch together.
  void return_to(std::int64_t step);
  /// Seconds the caller has waited in next() since the last call of this function.
  double take_stall_seconds();
  /// What the reading thread has done since the last call (it is ahead of next()).
  ReadStatistics take_read_statistics();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
