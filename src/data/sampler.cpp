#include "simclr/data/sampler.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <span>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/random.hpp"

namespace simclr {
namespace {

/// `Shuffle::block` keeps blocks of kBlockSamples consecutive samples, permutes the blocks and
/// shuffles the samples within windows of kWindowBlocks blocks. Changing these numbers changes the
/// order of samples and with it the results of a run.
constexpr std::int64_t kBlockSamples = 256;
constexpr std::int64_t kWindowBlocks = 64;

/// Random streams of an epoch: one permutes samples (or blocks), one shuffles the windows.
enum Stream : std::uint32_t { kPermutation = 0, kWindows = 1 };

/// Fisher-Yates shuffle: every order is equally likely.
void shuffle(std::span<std::int64_t> values, PhiloxStream& random) {
  for (std::size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[random.below(static_cast<std::uint32_t>(i))]);
  }
}

std::vector<std::int64_t> block_order(std::int64_t samples, std::uint64_t seed,
                                      std::uint32_t epoch) {
  std::vector<std::int64_t> blocks(
      static_cast<std::size_t>((samples + kBlockSamples - 1) / kBlockSamples));
  std::iota(blocks.begin(), blocks.end(), std::int64_t{0});
  PhiloxStream permutation(seed, RandomPurpose::kShuffle, epoch, kPermutation);
  shuffle(blocks, permutation);

  std::vector<std::int64_t> order;
  order.reserve(static_cast<std::size_t>(samples));
  PhiloxStream windows(seed, RandomPurpose::kShuffle, epoch, kWindows);
  std::size_t window_begin = 0;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const std::int64_t first = blocks[b] * kBlockSamples;
    const std::int64_t end = std::min(first + kBlockSamples, samples);
    for (std::int64_t sample = first; sample < end; ++sample) order.push_back(sample);
    const bool window_full = (b + 1) % static_cast<std::size_t>(kWindowBlocks) == 0;
    if (window_full || b + 1 == blocks.size()) {
      shuffle(std::span(order).subspan(window_begin), windows);
      window_begin = order.size();
    }
  }
  return order;
}

}  // namespace

Sampler::Sampler(std::int64_t samples, Shuffle mode, std::uint64_t seed, std::int64_t batch_size)
    : samples_(samples), mode_(mode), seed_(seed), batch_size_(batch_size) {
  require(batch_size >= 1, "the batch size must be 1 or more");
  if (batch_size > samples) {
    refuse("option --batch-size: {} is more than the {} images; choose a smaller batch", batch_size,
           samples);
  }
  if (samples > std::numeric_limits<std::uint32_t>::max()) {
    refuse("option --data: has {} images; at most 2^32-1 are supported: split the data set",
           samples);
  }
}

std::int64_t Sampler::steps_per_epoch() const { return samples_ / batch_size_; }

std::vector<std::int64_t> Sampler::batch(std::int64_t step) {
  require(step >= 0, "step must not be negative");
  const std::int64_t epoch = epoch_of(step);
  if (epoch != prepared_epoch_) prepare_epoch(epoch);
  const auto first = order_.begin() + (step - epoch * steps_per_epoch()) * batch_size_;
  return {first, first + batch_size_};
}

void Sampler::prepare_epoch(std::int64_t epoch) {
  const auto epoch_word = static_cast<std::uint32_t>(epoch);
  if (mode_ == Shuffle::block) {
    order_ = block_order(samples_, seed_, epoch_word);
  } else {
    order_.resize(static_cast<std::size_t>(samples_));
    std::iota(order_.begin(), order_.end(), std::int64_t{0});
    if (mode_ == Shuffle::full) {
      PhiloxStream random(seed_, RandomPurpose::kShuffle, epoch_word, kPermutation);
      shuffle(order_, random);
    }
  }
  prepared_epoch_ = epoch;
}

}  // namespace simclr
