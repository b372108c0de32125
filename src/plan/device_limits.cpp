// Measures the limits of a GPU with its backend: a large copy and large matrix products.

#include <algorithm>
#include <chrono>

#include "simclr/backend/executor.hpp"
#include "simclr/core/pseudo_random.hpp"
#include "simclr/plan/machine_limits.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRuns = 10;              // enqueued together to hide the cost of starting them
constexpr int kDeviceRepeats = 3;      // the best one counts
constexpr double kLongEnough = 10e-3;  // seconds of kRuns beyond which larger problems gain nothing
constexpr std::int64_t kFirstRows = 512;
constexpr std::int64_t kFirstChannels = 32;
constexpr int kLargestDoubling = 6;                         // 32768 x 2048 x 2048
constexpr std::int64_t kFirstCopy = std::int64_t{1} << 18;  // elements
constexpr std::int64_t kLargestCopy = std::int64_t{1} << 28;

/// Seconds of one run of a program of one op.
double seconds_of(Executor& executor) {
  executor.run_all();
  executor.wait();
  double best = 1e30;
  for (int repeat = 0; repeat < kDeviceRepeats; ++repeat) {
    const auto start = Clock::now();
    for (int run = 0; run < kRuns; ++run) executor.run_all();
    executor.wait();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best / kRuns;
}

/// GB/s, read and written, of an all-gather of a single rank, which is a copy.
double copy_rate(Backend& backend) {
  double rate = 0;
  for (std::int64_t count = kFirstCopy; count <= kLargestCopy; count *= 4) {
    Recorder r;
    const TensorId from = r.tensor("from", {count}, DType::f32, Storage::input);
    r.emit(AllGather{from, r.tensor("to", {count}, DType::f32)});
    Executor executor(r.finish(), backend, {});
    const double seconds = seconds_of(executor);
    rate = 2.0 * sizeof(float) * static_cast<double>(count) / seconds * 1e-9;
    if (seconds * kRuns > kLongEnough) break;
  }
  return rate;
}

/// Records y = x w^T: a matrix product in f32, a 1x1 convolution in 16 bits.
Program record_product(std::int64_t rows, std::int64_t channels, DType type) {
  constexpr std::int64_t kSide = 16;
  Recorder r;
  if (type == DType::f32) {
    const Shape shape{rows, channels};
    const TensorId x = r.named("x", shape, type, Storage::input);
    const TensorId w = r.parameter("w", {channels, channels}, {}, true);
    r.emit(MatMul{.x = x, .w = w, .bias = {}, .y = r.tensor("y", shape, type)});
  } else {
    const Shape shape{rows / (kSide * kSide), kSide, kSide, channels};
    const TensorId x = r.named("x", shape, type, Storage::input);
    const TensorId w = r.parameter("w", {channels, 1, 1, channels}, {}, true);
    r.emit(ConvForward{.x = x, .w = w, .y = r.tensor("y", shape, type)});
  }
  return r.finish();
}

double product_gflops(Backend& backend, DType type) {
  double rate = 0;
  for (int doubling = 0; doubling <= kLargestDoubling; ++doubling) {
    const std::int64_t rows = kFirstRows << doubling;
    const std::int64_t channels = kFirstChannels << doubling;
    Executor executor(record_product(rows, channels, type), backend, {});
    const std::vector<float> x = pseudo_random(rows * channels);
    executor.upload(executor.program().at("x"), const_buffer_span(std::span(x)));
    executor.set_flat(Storage::parameters, pseudo_random(channels * channels));
    const double seconds = seconds_of(executor);
    rate =
        2.0 * static_cast<double>(rows * channels) * static_cast<double>(channels) / seconds * 1e-9;
    if (seconds * kRuns > kLongEnough) break;
  }
  return rate;
}

}  // namespace

MachineLimits measure_limits(Backend& backend, int threads) {
  if (!backend.info().runs_ahead) return measure_machine_limits(threads);
  return {.machine = backend.info().description,
          .threads = threads,
          .f32_gflops = product_gflops(backend, DType::f32),
          .bf16_gflops = product_gflops(backend, DType::bf16),
          .copy_gbytes_per_second = copy_rate(backend)};
}

}  // namespace simclr
