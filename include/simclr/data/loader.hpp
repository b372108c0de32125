#pragma once
// Loads batches of augmented views, or of evaluation images; background threads prepare them ahead
// of time.

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "simclr/augment/augmentation.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/data/sampler.hpp"
#include "simclr/io/image_file.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/tensor/host_buffer.hpp"

namespace simclr {

enum class CacheMode : std::uint8_t {
  automatic,    ///< `node` if the set fits into every node's memory, else `distributed`
  node,         ///< the whole set in memory shared by the ranks of a node
  distributed,  ///< a part of the set in each rank's memory; ranks fetch from each other
  none,         ///< nothing cached; each batch is read from the shards
};

/// One sample as stored: raw pixels (height, width, 3) or an encoded image.
struct StoredImage {
  std::span<const std::byte> bytes;
  int height = 0;
  int width = 0;
  ImageEncoding encoding = ImageEncoding::raw;
};

/// What fetching has cost this rank.
struct ReadStatistics {
  double seconds = 0;               ///< time of the fetching thread
  std::uint64_t bytes_read = 0;     ///< read from the shards
  std::uint64_t bytes_fetched = 0;  ///< received from other ranks' memory
};

/// The ranks that must fetch together because each holds samples of the others; a single rank when
/// the store needs no other ranks.
struct FetchGroup {
  int rank = 0;  ///< this rank's index in the group
  int ranks = 1;
};
/// The samples that each rank of a group requests, in rank order.
using WantedSamples = std::vector<std::vector<std::int64_t>>;

/// Gives access to the stored images of a data set, wherever the cache mode keeps them. All ranks
/// must create and destroy it together. Only one thread at a time may use it, except for
/// take_read_statistics.
class SampleStore {
 public:
  SampleStore() = default;
  SampleStore(const SampleStore&) = delete;
  SampleStore& operator=(const SampleStore&) = delete;
  virtual ~SampleStore() = default;
  [[nodiscard]] virtual const ShardSetInfo& info() const = 0;
  /// The sample's shard and number, for messages; see ShardSetInfo.
  [[nodiscard]] virtual std::string place_of(std::int64_t sample) const {
    return info().place_of(sample);
  }
  [[nodiscard]] virtual const std::vector<std::int64_t>& labels() const = 0;
  [[nodiscard]] virtual FetchGroup group() const = 0;
  /// Returns this rank's samples of `wanted` as stored, in the order requested, valid until the
  /// next call with the same `slot` (any small number; each has its own memory). All ranks of the
  /// group must make the same calls with the same samples in the same order, each at its own pace.
  /// Returns nothing when `stop` is requested meanwhile: the call counts as made, and its messages
  /// are still in flight.
  virtual std::vector<StoredImage> fetch_together(const WantedSamples& wanted, int slot,
                                                  const std::stop_token& stop) = 0;
  /// The same for stores with a group of one rank.
  std::vector<StoredImage> fetch(const std::vector<std::int64_t>& samples, int slot);
  /// Completes messages in flight. Returns how many calls of fetch_together() this rank must still
  /// make to catch up with the rank that has made most. All ranks of the group must call it.
  virtual std::int64_t fetches_behind() = 0;
  /// Number of batches to fetch at once; more than one lets the store sort its reads.
  [[nodiscard]] virtual int batches_per_fetch(std::int64_t batch_samples) const = 0;
  /// The cost since the last call; the first call includes reading the set at creation.
  virtual ReadStatistics take_read_statistics() = 0;
  [[nodiscard]] virtual std::string description() const = 0;  ///< mode, bytes, read rate
};

/// Decodes stored images. It owns scratch memory, so that each thread needs its own decoder.
class ImageDecoder {
 public:
  /// The result is valid until the next call; raw images are not copied. Throws Error when an
  /// encoded image is corrupt or its size differs from the recorded one.
  ImageRef decode(const StoredImage& image);

 private:
  Image image_;
};

/// Caches a data set. `automatic` chooses `node` or else `distributed` by the free memory, the same
/// on all ranks, and gives the reason in the description; it never chooses `none`. Throws
/// RefusedError with sizes and advice when the set does not fit, and for bad shards (see ShardSet).
/// `batch_samples`: samples that a rank fetches at a time, for the size of the buffers. Collective.
std::unique_ptr<SampleStore> open_sample_store(ShardSet set, CacheMode mode, Communicator& world,
                                               int threads, std::int64_t batch_samples = 0);
inline std::unique_ptr<SampleStore> open_sample_store(const std::filesystem::path& directory,
                                                      CacheMode mode, Communicator& world,
                                                      int threads, std::int64_t batch_samples = 0) {
  return open_sample_store(ShardSet(directory), mode, world, threads, batch_samples);
}

/// Samples of a data set, as indices into it, and their labels.
struct SampleChoice {
  std::vector<std::int64_t> samples, labels;
};
/// Presents samples of a store, in the order given, as a data set of their own with these labels.
std::unique_ptr<SampleStore> make_subset_store(std::unique_ptr<SampleStore> store,
                                               SampleChoice choice);

/// Refuses a data set that open_sample_store() would refuse, without reading images. Returns this
/// rank's part of the cache, in bytes. Collective.
std::uint64_t require_cache_fits(const ShardSet& set, CacheMode mode, Communicator& world,
                                 std::int64_t batch_samples);

/// The label of samples without one, also in a set without labels.
inline constexpr std::int32_t kNoLabel = -1;

struct ViewBatch {
  std::int64_t step = 0;  ///< 0-based
  std::int64_t epoch = 0;
  std::vector<std::int64_t> sample_index;  ///< n indices: this rank's part of the global batch
  std::pmr::vector<std::int32_t> labels;   ///< n; kNoLabel without one
  /// (V*n, S, S, 3): view v of sample i at row v*n + i, V = views per sample.
  HostBuffer views;
};

struct LoaderConfig {
  AugmentationConfig augmentation;
  std::uint64_t seed = 0;
  Shuffle shuffle = Shuffle::full;
  std::int64_t batch_size = 0;  ///< global; rank r loads [r*n, (r+1)*n), n = batch_size / ranks
  int views_per_sample = 2;
  DType view_type = DType::f32;  ///< type of the program's "views": f32, bf16 or f16
  int rank = 0;
  int world_size = 1;
  int threads = 1;
  std::int64_t first_step = 0;
  std::int64_t end_step = 0;
  /// Memory of views and labels; page-locked memory is copied to a device fastest.
  std::pmr::memory_resource* memory = std::pmr::get_default_resource();
};

/// Prepares the next batches in the background (double buffering). next() rethrows errors of its
/// threads. All ranks of the store's group must create and destroy their loaders together and stop
/// at the same step; config.rank must grow with the rank in the group.
class TrainingLoader {
 public:
  TrainingLoader(SampleStore& store, const LoaderConfig& config);
  TrainingLoader(const TrainingLoader&) = delete;
  TrainingLoader& operator=(const TrainingLoader&) = delete;
  ~TrainingLoader();
  /// Returns the next batch, valid until the following call. Throws RefusedError after the last.
  const ViewBatch& next();
  /// Makes next() continue with the batch of `step`. All ranks of the store's group must call it.
  void return_to(std::int64_t step);
  /// Seconds that the caller waited in next() since the last call of this function.
  double take_stall_seconds();
  /// The reading thread's cost since the last call (it runs ahead of next()).
  ReadStatistics take_read_statistics();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// ---- evaluation: images in order; each rank loads one contiguous part ---------------------------

struct EvaluationLoaderConfig {
  int image_size = 224;
  std::optional<std::array<float, 3>> mean, std;  ///< those of the encoder's training
  DType image_type = DType::f32;                  ///< f32, bf16 or f16
  std::int64_t batch_size = 64;                   ///< rows per batch on this rank
  int rank = 0;
  int world_size = 1;
  int threads = 1;
};

struct EvaluationBatch {
  std::int64_t first_sample = 0;     ///< global index of row 0
  std::int64_t count = 0;            ///< valid rows, 0 when the part is done; the rest are zeros
  std::vector<std::int64_t> labels;  ///< count, or empty when the set has no labels
  HostBuffer images;                 ///< (batch_size, S, S, 3)
};

/// Rank r of P loads samples [N*r/P, N*(r+1)/P). Every rank yields the same number of batches, so
/// that programs with collectives stay in step. next() rethrows errors of the loader's threads. As
/// with TrainingLoader, all ranks of the store's group must use their loaders together.
class EvaluationLoader {
 public:
  EvaluationLoader(SampleStore& store, const EvaluationLoaderConfig& config);
  EvaluationLoader(const EvaluationLoader&) = delete;
  EvaluationLoader& operator=(const EvaluationLoader&) = delete;
  ~EvaluationLoader();

  [[nodiscard]] std::int64_t begin_sample() const;
  [[nodiscard]] std::int64_t batches() const;
  /// Returns the next batch, valid until the following call; null after the last.
  const EvaluationBatch* next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
