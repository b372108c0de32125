// Batch-normalization sums do not depend on how the work is divided.

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <span>

#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kImages = 12;
constexpr std::int64_t kSide = 19;  // more than one piece of an image
constexpr std::int64_t kChannels = 37;
constexpr std::int64_t kImageElements = kSide * kSide * kChannels;

/// Values around 3: the mean is not near the shift, which is 1.
std::vector<float> images() {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(3, 2);
  std::vector<float> values(static_cast<std::size_t>(kImages * kImageElements));
  for (float& value : values) value = normal(random);
  return values;
}

/// (2,C): sums of (y - shift) and of its square over some images.
std::vector<double> statistics(std::span<const float> y, int threads) {
  const auto count = static_cast<std::int64_t>(y.size()) / kImageElements;
  Recorder r;
  const Shape shape{count, kSide, kSide, kChannels};
  const TensorId input = r.tensor("y", shape, DType::f32, Storage::input);
  const TensorId mean = r.running("running_mean", kChannels, 0);
  const TensorId stats = r.tensor("stats", {1, 2, kChannels}, DType::f64, Storage::output);
  r.emit(BnStatistics{.y = input, .running_mean = mean, .stats = stats, .groups = {}});
  const auto backend = make_cpu_backend(threads);
  Executor executor(r.finish(), *backend, {});
  executor.upload(input, const_buffer_span(y));
  executor.set_flat(Storage::running,
                    std::vector<float>(executor.flat(Storage::running).size(), 1.0F));
  executor.run(0, 1);
  std::vector<double> sums(2 * kChannels, std::nan(""));
  executor.download(stats, buffer_span(std::span(sums)));
  return sums;
}

TEST(BnStatistics, AreTheSameBitsForAnyNumberOfThreads) {
  const std::vector<float> y = images();
  const std::vector<double> wanted = statistics(y, 1);
  EXPECT_GT(wanted[kChannels], 0);
  for (const int threads : {2, 3, 5}) EXPECT_EQ(statistics(y, threads), wanted) << threads;
}

TEST(BnStatistics, AddUpOverRanks) {
  const std::vector<float> y = images();
  const std::vector<double> wanted = statistics(y, 2);
  const auto part = static_cast<std::size_t>(kImages / 4 * kImageElements);
  std::vector<double> total(wanted.size());
  for (std::size_t rank = 0; rank < 4; ++rank) {
    const std::vector<double> own = statistics(std::span(y).subspan(rank * part, part), 2);
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += own[i];
  }
  for (std::size_t i = 0; i < total.size(); ++i) {
    EXPECT_LE(std::abs(total[i] - wanted[i]), 1e-14 * std::abs(wanted[i])) << i;
  }
}

}  // namespace
}  // namespace simclr
