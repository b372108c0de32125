#pragma once
// The threads behind both loaders: one reads stored samples ahead, the others render them into rows
// of the next batches.

#include <array>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"

namespace simclr {

/// Checks that the loader of rank `rank` of `world_size` covers all ranks of the store's group.
inline void require_same_ranks(const FetchGroup& group, int rank, int world_size) {
  const int first = rank - group.rank;
  require(first >= 0 && first + group.ranks <= world_size,
          "a loader must have all ranks of the store's fetch group");
}

/// Sets `labels` to those of the samples, or empties it when the set has none.
void copy_labels(const SampleStore& store, const std::vector<std::int64_t>& samples, auto& labels) {
  labels.clear();
  if (!store.info().labeled) return;
  for (const std::int64_t sample : samples) {
    using Label = std::remove_cvref_t<decltype(labels)>::value_type;
    labels.push_back(static_cast<Label>(store.labels()[static_cast<std::size_t>(sample)]));
  }
}

/// Produces batches first, first+1, ... end-1 in order in two buffers that the owner keeps.
///
/// Order of events, for batch b in buffer b % kBuffers:
///   fetch(b) precedes prepare(b) precedes every render(b, item) precedes next() returning b;
///   the call of next() after that precedes prepare(b + kBuffers).
/// A fetch slot is reused after every batch of its last window is rendered.
///
/// A window is a run of batches fetched at once. The ranks of a fetch group run the same sequence
/// of windows, and each serves the others while it fetches its own samples. When they are stopped
/// early, their reading threads may be in different windows: all go on to the furthest window begun
/// and discard the samples, so that no message is left over. The destructor is therefore collective
/// over the group, except when an exception unwinds: the job then ends, and it waits for no rank.
class BatchPipeline {
 public:
  static constexpr int kBuffers = 2;

  struct Item {
    std::int64_t batch = 0;
    int buffer = 0;
    std::size_t row = 0;
    std::int64_t sample = 0;
    StoredImage image;
  };
  /// Renders an item. Each thread creates its own, which may hold scratch memory.
  using Render = std::function<void(const Item&)>;

  struct Plan {
    std::int64_t first = 0;
    std::int64_t end = 0;
    std::int64_t batch_samples = 0;
    int threads = 1;
    /// Returns the samples of every rank of the fetch group; called by one thread at a time, in
    /// order.
    std::function<WantedSamples(std::int64_t batch)> samples;
    /// Prepares the buffer for a batch.
    std::function<void(std::int64_t batch, int buffer, const std::vector<std::int64_t>&)> prepare;
    std::function<Render()> make_render;
  };

  BatchPipeline(SampleStore& store, Plan plan);
  BatchPipeline(const BatchPipeline&) = delete;
  BatchPipeline& operator=(const BatchPipeline&) = delete;
  ~BatchPipeline();

  [[nodiscard]] bool finished() const { return next_ == plan_.end; }
  /// Waits for the next batch and returns its buffer, which stays unchanged until the following
  /// call. Rethrows a thread's error.
  int next();
  double take_stall_seconds();

 private:
  struct FetchedBatch {
    std::int64_t batch = 0;
    int slot = 0;
    std::vector<std::int64_t> samples;
    std::vector<StoredImage> images;
    std::size_t claimed = 0;   // rows that threads have claimed
    std::size_t rendered = 0;  // rows that are rendered
  };
  struct Claim {
    FetchedBatch* batch = nullptr;
    std::size_t begin = 0, end = 0;
  };

  void stop();
  [[nodiscard]] bool stopping() const { return stop_.stop_requested(); }
  void catch_up();
  void read_ahead();
  [[nodiscard]] std::int64_t window_end() const;
  std::vector<FetchedBatch> fetch_window(int slot);
  void hand_over(std::vector<FetchedBatch> window);
  void render_items();
  Claim claim(std::unique_lock<std::mutex>& lock);
  Claim claim_rows();
  void complete(FetchedBatch& batch);
  void guarded(const std::function<void()>& work);

  SampleStore& store_;
  Plan plan_;
  std::int64_t window_;  // batches per window
  std::int64_t next_;
  std::int64_t unfetched_;  // first batch of the next window; used by the reading thread
  double stall_seconds_ = 0;
  int uncaught_;
  std::stop_source stop_;  // stop is requested while mutex_ is held

  // mutex_ guards everything below; changed_ is notified after every change.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::exception_ptr error_;
  std::list<FetchedBatch> fetched_;  // in batch order
  std::array<std::int64_t, 2> batches_in_slot_{};
  std::int64_t released_;   // the caller no longer uses batches below this one
  std::int64_t announced_;  // batches below this one are prepared
  std::array<std::int64_t, kBuffers> ready_batch_{};

  std::vector<std::jthread> threads_;  // last member, so that it is destroyed first
};

}  // namespace simclr
