#include "batch_pipeline.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"

namespace simclr {
namespace {

/// Limit of the rows that a thread claims at once, so that the threads finish a batch together.
constexpr std::size_t kMaxClaimedRows = 16;

}  // namespace

BatchPipeline::BatchPipeline(SampleStore& store, Plan plan)
    : store_(store),
      plan_(std::move(plan)),
      window_(store.batches_per_fetch(plan_.batch_samples)),
      next_(plan_.first),
      unfetched_(plan_.first),
      uncaught_(std::uncaught_exceptions()),
      released_(plan_.first),
      announced_(plan_.first) {
  plan_.threads = std::max(1, plan_.threads);
  ready_batch_.fill(-1);
  try {
    threads_.emplace_back([this] { guarded([this] { read_ahead(); }); });
    for (int t = 0; t < plan_.threads; ++t) {
      threads_.emplace_back([this] { guarded([this] { render_items(); }); });
    }
  } catch (...) {  // a thread could not be created: end those that run
    stop();
    throw;
  }
}

BatchPipeline::~BatchPipeline() {
  stop();
  threads_.clear();
  if (std::uncaught_exceptions() > uncaught_) return;
  try {
    catch_up();
  } catch (const std::exception& error) {
    log::warning("the loader did not stop in step with the other ranks: {}", error.what());
  }
}

void BatchPipeline::stop() {
  const std::lock_guard lock(mutex_);
  stop_.request_stop();
  changed_.notify_all();
}

/// Makes the calls of fetch_together() that other ranks have made and this one has not; see the
/// class's description. The threads must have ended.
void BatchPipeline::catch_up() {
  for (std::int64_t behind = store_.fetches_behind(); behind > 0; --behind) {
    stop_ = std::stop_source();
    fetch_window(0);
  }
}

void BatchPipeline::guarded(const std::function<void()>& work) {
  try {
    work();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    stop_.request_stop();
    changed_.notify_all();
  }
}

int BatchPipeline::next() {
  require(!finished(), "next() must not be called after the last batch");
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  released_ = next_;
  changed_.notify_all();
  const int buffer = static_cast<int>(next_ % kBuffers);
  changed_.wait(lock,
                [&] { return error_ || ready_batch_[static_cast<std::size_t>(buffer)] == next_; });
  stall_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (error_) std::rethrow_exception(error_);
  ++next_;
  return buffer;
}

double BatchPipeline::take_stall_seconds() { return std::exchange(stall_seconds_, 0.0); }

// ---- reading ----

void BatchPipeline::read_ahead() {
  for (int slot = 0; unfetched_ < plan_.end; slot = 1 - slot) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] {
        return stopping() || batches_in_slot_[static_cast<std::size_t>(slot)] == 0;
      });
      if (stopping()) return;
    }
    std::vector<FetchedBatch> window = fetch_window(slot);
    if (stopping()) return;
    hand_over(std::move(window));
  }
}

std::int64_t BatchPipeline::window_end() const { return std::min(unfetched_ + window_, plan_.end); }

std::vector<BatchPipeline::FetchedBatch> BatchPipeline::fetch_window(int slot) {
  const FetchGroup group = store_.group();
  const auto own = static_cast<std::size_t>(group.rank);
  std::vector<FetchedBatch> window;
  WantedSamples all(static_cast<std::size_t>(group.ranks));
  for (std::int64_t batch = unfetched_; batch < window_end(); ++batch) {
    WantedSamples wanted = plan_.samples(batch);
    for (std::size_t r = 0; r < all.size(); ++r) {
      all[r].insert(all[r].end(), wanted[r].begin(), wanted[r].end());
    }
    window.push_back({batch, slot, std::move(wanted[own]), {}, 0, 0});
  }
  const std::vector<StoredImage> images = store_.fetch_together(all, slot, stop_.get_token());
  unfetched_ = window_end();
  if (images.size() != all[own].size()) return {};  // stop was requested
  auto image = images.begin();
  for (FetchedBatch& batch : window) {
    const auto end = image + static_cast<std::ptrdiff_t>(batch.samples.size());
    batch.images.assign(image, end);
    image = end;
  }
  return window;
}

void BatchPipeline::hand_over(std::vector<FetchedBatch> window) {
  const std::lock_guard lock(mutex_);
  batches_in_slot_[static_cast<std::size_t>(window.front().slot)] =
      static_cast<std::int64_t>(window.size());
  std::move(window.begin(), window.end(), std::back_inserter(fetched_));
  changed_.notify_all();
}

// ---- rendering ----

/// Claims rows of the first batch with unclaimed rows and a free buffer; null when there is none.
BatchPipeline::Claim BatchPipeline::claim_rows() {
  for (auto batch = fetched_.begin(); batch != fetched_.end();) {
    FetchedBatch& candidate = *batch++;  // complete() removes it from the list
    if (candidate.batch >= released_ + kBuffers) break;
    if (candidate.batch == announced_) {
      plan_.prepare(candidate.batch, static_cast<int>(candidate.batch % kBuffers),
                    candidate.samples);
      ++announced_;
      if (candidate.samples.empty()) {
        complete(candidate);
        continue;
      }
    }
    const std::size_t rows = candidate.samples.size();
    if (candidate.claimed < rows) {
      const std::size_t share = rows / (4 * static_cast<std::size_t>(plan_.threads)) + 1;
      const std::size_t begin = candidate.claimed;
      candidate.claimed = std::min(rows, begin + std::min(share, kMaxClaimedRows));
      return {&candidate, begin, candidate.claimed};
    }
  }
  return {};
}

/// Waits for rows to claim; null after the last batch and when stopping.
BatchPipeline::Claim BatchPipeline::claim(std::unique_lock<std::mutex>& lock) {
  while (!stopping()) {
    const Claim rows = claim_rows();
    if (rows.batch != nullptr) return rows;
    const bool all_claimed = std::all_of(fetched_.begin(), fetched_.end(), [](const auto& batch) {
      return batch.claimed == batch.samples.size();
    });
    if (announced_ == plan_.end && all_claimed) return {};
    changed_.wait(lock);
  }
  return {};
}

void BatchPipeline::complete(FetchedBatch& batch) {
  ready_batch_[static_cast<std::size_t>(batch.batch % kBuffers)] = batch.batch;
  --batches_in_slot_[static_cast<std::size_t>(batch.slot)];
  std::erase_if(fetched_, [&](const FetchedBatch& other) { return other.batch == batch.batch; });
  changed_.notify_all();
}

void BatchPipeline::render_items() {
  const Render render = plan_.make_render();
  std::unique_lock lock(mutex_);
  while (true) {
    const Claim mine = claim(lock);
    if (mine.batch == nullptr) return;
    const FetchedBatch& batch = *mine.batch;
    lock.unlock();
    for (std::size_t row = mine.begin; row < mine.end; ++row) {
      try {
        render({batch.batch, static_cast<int>(batch.batch % kBuffers), row, batch.samples[row],
                batch.images[row]});
      } catch (const Error& error) {
        fail("{}: {}", store_.place_of(batch.samples[row]), error.what());
      }
    }
    lock.lock();
    mine.batch->rendered += mine.end - mine.begin;
    if (mine.batch->rendered == batch.samples.size()) complete(*mine.batch);
  }
}

}  // namespace simclr
