// Batch-normalization sums over a million rows of each channel: what is added in f32 on the way
// must not grow with their number.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/backends.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr::testing {
namespace {

constexpr std::int64_t kViews = 2;
constexpr std::int64_t kSide = 736;
constexpr std::int64_t kChannels = 7;
constexpr float kShift = 1;

/// Values in [1.5, 4.5): their mean is not near the shift.
std::vector<float> images() {
  std::vector<float> values(static_cast<std::size_t>(kViews * kSide * kSide * kChannels));
  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = 1.5F + static_cast<float>(state >> 8) * (3.0F / (1 << 24));
  }
  return values;
}

/// (2,C): sums of (y - shift) and of its square.
std::vector<double> exact_sums(std::span<const float> y) {
  std::vector<double> sums(2 * kChannels);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double centered = double{y[i]} - kShift;
    sums[i % kChannels] += centered;
    sums[kChannels + i % kChannels] += centered * centered;
  }
  return sums;
}

TEST(BnStatistics, DoNotLosePrecisionOverAMillionRows) {
  const BackendUnderTest& under_test = backends_under_test().front();
  const std::string reason = under_test.why_skip(DType::f32);
  if (!reason.empty()) GTEST_SKIP() << reason;
  Recorder r;
  const TensorId y = r.tensor("y", {kViews, kSide, kSide, kChannels}, DType::f32, Storage::input);
  const TensorId mean = r.running("running_mean", kChannels, 0);
  const TensorId stats = r.tensor("stats", {1, 2, kChannels}, DType::f64, Storage::output);
  r.emit(BnStatistics{.y = y, .running_mean = mean, .stats = stats, .groups = {}});
  const auto backend = under_test.make();
  Executor executor(r.finish(), *backend, {});
  const std::vector<float> values = images();
  executor.upload(y, const_buffer_span(std::span(values)));
  executor.set_flat(Storage::running,
                    std::vector<float>(executor.flat(Storage::running).size(), kShift));
  executor.run(0, 1);
  std::vector<double> sums(2 * kChannels, std::nan(""));
  executor.download(stats, buffer_span(std::span(sums)));

  // All terms are positive, so the sums are those of the terms' magnitudes too.
  const std::vector<double> wanted = exact_sums(values);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    EXPECT_LE(std::abs(sums[i] - wanted[i]), 2e-8 * wanted[i])
        << i << ": " << sums[i] / wanted[i] - 1;
  }
}

}  // namespace
}  // namespace simclr::testing
