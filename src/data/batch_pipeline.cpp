#include "batch_pipeline.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

/// Rows that a thread takes at once: few enough that threads end a batch together.
constexpr std::size_t kMostRowsAtOnce = 16;

}  // namespace

BatchPipeline::BatchPipeline(SampleStore& store, Plan plan)
    : store_(store),
      plan_(std::move(plan)),
      next_(plan_.first),
      released_(plan_.first),
      announced_(plan_.first) {
  plan_.threads = std::max(1, plan_.threads);
  ready_batch_.fill(-1);
  try {
    threads_.emplace_back([this] { guarded([this] { read_ahead(); }); });
    for (int t = 0; t < plan_.threads; ++t) {
      threads_.emplace_back([this] { guarded([this] { render_items(); }); });
    }
  } catch (...) {  // no more threads to be had: those that run must end
    stop();
    throw;
  }
}

BatchPipeline::~BatchPipeline() { stop(); }

void BatchPipeline::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

void BatchPipeline::guarded(const std::function<void()>& work) {
  try {
    work();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    stopping_ = true;
    changed_.notify_all();
  }
}

int BatchPipeline::next() {
  require(!finished(), "no batch is asked for after the last");
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

// ---- reading
// --------------------------------------------------------------------------------------

void BatchPipeline::read_ahead() {
  const std::int64_t window = store_.batches_per_fetch(plan_.batch_samples);
  int slot = 0;
  for (std::int64_t first = plan_.first; first < plan_.end; first += window, slot = 1 - slot) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(
          lock, [&] { return stopping_ || batches_in_slot_[static_cast<std::size_t>(slot)] == 0; });
      if (stopping_) return;
    }
    fetch_window(first, std::min(window, plan_.end - first), slot);
  }
}

void BatchPipeline::fetch_window(std::int64_t first, std::int64_t count, int slot) {
  std::vector<FetchedBatch> window;
  std::vector<std::int64_t> all;
  for (std::int64_t batch = first; batch < first + count; ++batch) {
    window.push_back({batch, slot, plan_.samples(batch), {}, 0, 0});
    all.insert(all.end(), window.back().samples.begin(), window.back().samples.end());
  }
  const std::vector<StoredImage> images =
      plan_.fetch ? store_.fetch(all, slot) : std::vector<StoredImage>(all.size());
  auto image = images.begin();
  for (FetchedBatch& batch : window) {
    const auto end = image + static_cast<std::ptrdiff_t>(batch.samples.size());
    batch.images.assign(image, end);
    image = end;
  }
  const std::lock_guard lock(mutex_);
  batches_in_slot_[static_cast<std::size_t>(slot)] = count;
  std::move(window.begin(), window.end(), std::back_inserter(fetched_));
  changed_.notify_all();
}

// ---- rendering
// ------------------------------------------------------------------------------------

/// Rows of the first batch that has some left and whose buffer is free; null when there are none.
BatchPipeline::Claim BatchPipeline::claim_rows() {
  for (auto batch = fetched_.begin(); batch != fetched_.end();) {
    FetchedBatch& candidate = *batch++;  // completing removes it from the list
    if (candidate.batch >= released_ + kBuffers) break;
    if (candidate.batch == announced_) {
      plan_.prepare(candidate.batch, static_cast<int>(candidate.batch % kBuffers),
                    candidate.samples, candidate.images);
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
      candidate.claimed = std::min(rows, begin + std::min(share, kMostRowsAtOnce));
      return {&candidate, begin, candidate.claimed};
    }
  }
  return {};
}

/// Waits for rows; null at the end of all batches and when stopping.
BatchPipeline::Claim BatchPipeline::claim(std::unique_lock<std::mutex>& lock) {
  while (!stopping_) {
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
        fail("sample {} of '{}': {}", batch.samples[row], store_.info().name, error.what());
      }
    }
    lock.lock();
    mine.batch->rendered += mine.end - mine.begin;
    if (mine.batch->rendered == batch.samples.size()) complete(*mine.batch);
  }
}

}  // namespace simclr
