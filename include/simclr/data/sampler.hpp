#pragma once

#include <cstdint>
#include <vector>

namespace simclr {

enum class Shuffle : std::uint8_t { full, block, off };

/// The order of samples in an epoch: a pure function of (samples, mode, seed, epoch).
class Sampler {
 public:
  Sampler(std::int64_t samples, Shuffle mode, std::uint64_t seed, std::int64_t batch_size);

  /// floor(samples / batch size): an incomplete last batch is dropped.
  [[nodiscard]] std::int64_t steps_per_epoch() const;
  /// The N sample indices of the global batch of 0-based step `step`.
  [[nodiscard]] std::vector<std::int64_t> batch(std::int64_t step);
  [[nodiscard]] std::int64_t epoch_of(std::int64_t step) const { return step / steps_per_epoch(); }

 private:
  void prepare_epoch(std::int64_t epoch);

  std::int64_t samples_;
  Shuffle mode_;
  std::uint64_t seed_;
  std::int64_t batch_size_;
  std::int64_t prepared_epoch_ = -1;
  std::vector<std::int64_t> order_;
};

}  // namespace simclr
