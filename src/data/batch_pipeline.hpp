#pragma once
// The threads behind both loaders: one reads stored samples ahead, the others turn them into rows
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

/// A loader's ranks, of which this is number `rank`, contain those that fetch together.
inline void require_same_ranks(const FetchGroup& group, int rank, int world_size) {
  const int first = rank - group.rank;
  require(first >= 0 && first + group.ranks <= world_size,
          "ranks that fetch together load together");
}

/// Batches first, first+1, ... end-1 appear in order in two buffers that the owner keeps.
///
/// Order of events, for batch b in buffer b % kBuffers:
///   fetch(b) precedes prepare(b) precedes every render(b, item) precedes next() returning b;
///   the call of next() after that precedes prepare(b + kBuffers).
/// A fetch slot is used again once every batch of its last window is rendered.
///
/// Ranks that fetch together run the same sequence of windows, and each serves the others while it
/// fetches its own. When they are stopped early their reading threads may be in different windows:
/// all go on to the furthest one begun and discard what they get, so that no message is left over.
/// The destructor is therefore collective among them, but for one that an exception runs: the job
/// ends then, and it waits for nobody.
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
  /// What a thread calls for every item it renders; made once a thread, so it may own scratch.
  using Render = std::function<void(const Item&)>;

  struct Plan {
    std::int64_t first = 0;
    std::int64_t end = 0;
    std::int64_t batch_samples = 0;
    int threads = 1;
    /// Of every rank that fetches together; called by one thread at a time, in order.
    std::function<WantedSamples(std::int64_t batch)> samples;
    /// Announces a batch to its buffer.
    std::function<void(std::int64_t batch, int buffer, const std::vector<std::int64_t>&)> prepare;
    std::function<Render()> make_render;
  };

  BatchPipeline(SampleStore& store, Plan plan);
  BatchPipeline(const BatchPipeline&) = delete;
  BatchPipeline& operator=(const BatchPipeline&) = delete;
  ~BatchPipeline();

  [[nodiscard]] bool finished() const { return next_ == plan_.end; }
  /// The buffer of the next batch, its own until the following call. Rethrows a thread's error.
  int next();
  double take_stall_seconds();

 private:
  struct FetchedBatch {
    std::int64_t batch = 0;
    int slot = 0;
    std::vector<std::int64_t> samples;
    std::vector<StoredImage> images;
    std::size_t claimed = 0;   // rows handed to threads
    std::size_t rendered = 0;  // rows done
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
  std::int64_t window_;  // batches in a window
  std::int64_t next_;
  std::int64_t unfetched_;  // of the reading thread: the first batch of its next window
  double stall_seconds_ = 0;
  int uncaught_;
  std::stop_source stop_;  // requested under mutex_

  // Everything below is guarded by mutex_; changed_ is notified after every change.
  std::mutex mutex_;
  std::condition_variable changed_;
  std::exception_ptr error_;
  std::list<FetchedBatch> fetched_;  // in batch order
  std::array<std::int64_t, 2> batches_in_slot_{};
  std::int64_t released_;   // batches below this one are no longer needed by the caller
  std::int64_t announced_;  // batches below this one were prepared
  std::array<std::int64_t, kBuffers> ready_batch_{};

  std::vector<std::jthread> threads_;  // last: ends first
};

}  // namespace simclr
