#include "simclr/plan/machine_limits.hpp"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "simclr/backend/executor.hpp"
#include "simclr/core/pseudo_random.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kCpuRepeats = 5;
constexpr int kChains = 12;  // independent sums, which hide the latency of two FMA units
constexpr std::int64_t kIterations = 2'000'000;

/// Updates each of kChains registers kIterations times; returns a number, so that the compiler
/// cannot drop the work.
using Kernel = float (*)();

/// A register of kFloats floats.
template <int kFloats>
using Floats [[gnu::vector_size(kFloats * sizeof(float))]] = float;

template <class Register>
[[gnu::always_inline]] inline void start(Register (&sums)[kChains]) {
  for (int i = 0; i < kChains; ++i) sums[i] = Register{} + 0.1F * static_cast<float>(i);
}
template <class Register>
[[gnu::always_inline]] inline float total_of(const Register (&sums)[kChains]) {
  float total = 0;
  for (const Register& sum : sums) total += sum[0];
  return total;
}

/// Always inlined, so that it is compiled for the caller's instruction set.
template <class Register>
[[gnu::always_inline]] inline float multiply_add() {
  Register sums[kChains];
  start(sums);
  const Register x = Register{} + 0.999F;
  const Register y = Register{} + 1e-9F;
  for (std::int64_t k = 0; k < kIterations; ++k) {
#pragma GCC unroll 12
    for (Register& sum : sums) sum = sum * x + y;
  }
  return total_of(sums);
}

float multiply_add_128() { return multiply_add<Floats<4>>(); }
#ifdef __x86_64__
__attribute__((target("avx512f"))) float multiply_add_512() { return multiply_add<Floats<16>>(); }
__attribute__((target("avx2,fma"))) float multiply_add_256() { return multiply_add<Floats<8>>(); }

__attribute__((target("avx512f,avx512bf16"))) float dot_bf16_512() {
  Floats<16> sums[kChains];
  start(sums);
  const auto x = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3F803F80));  // 1, 1
  const auto y = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x30003000));  // about 5e-10
  for (std::int64_t k = 0; k < kIterations; ++k) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, x, y);
  }
  return total_of(sums);
}
#endif

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// GFLOP/s of all threads together.
double rate_of(Kernel kernel, int operations_per_register, int threads) {
  double best_seconds = 1e30;
  volatile float sink = 0;
  for (int repeat = 0; repeat < kCpuRepeats; ++repeat) {
    const auto start = Clock::now();
    float total = 0;
#pragma omp parallel num_threads(threads) reduction(+ : total)
    total += kernel();
    best_seconds = std::min(best_seconds, seconds_since(start));
    sink = total;
  }
  static_cast<void>(sink);
  return static_cast<double>(operations_per_register) * kChains * kIterations * threads /
         best_seconds * 1e-9;
}

double copy_rate(int threads) {
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  std::vector<char> from(kBytes, 1);
  std::vector<char> to(kBytes, 2);
  const std::size_t part = kBytes / static_cast<std::size_t>(threads);
  double best_seconds = 1e30;
  for (int repeat = 0; repeat < kCpuRepeats; ++repeat) {
    const auto start = Clock::now();
#pragma omp parallel num_threads(threads)
    {
      const std::size_t offset = part * static_cast<std::size_t>(omp_get_thread_num());
      std::memcpy(to.data() + offset, from.data() + offset, part);
    }
    best_seconds = std::min(best_seconds, seconds_since(start));
  }
  return 2.0 * static_cast<double>(part) * threads / best_seconds * 1e-9;
}

// A GPU, measured with its backend: a large copy and large matrix products.

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

MachineLimits measure_machine_limits(int threads) {
  MachineLimits limits{.threads = threads > 0 ? threads : omp_get_num_procs()};
  limits.machine = fmt::format("this machine, {} threads", limits.threads);
  Kernel widest = multiply_add_128;
  int lanes = 4;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f")) {
    widest = multiply_add_512;
    lanes = 16;
  } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    widest = multiply_add_256;
    lanes = 8;
  }
  if (__builtin_cpu_supports("avx512bf16")) {
    limits.bf16_gflops = rate_of(dot_bf16_512, 2 * 32, limits.threads);
  }
#endif
  limits.f32_gflops = rate_of(widest, 2 * lanes, limits.threads);
  limits.copy_gbytes_per_second = copy_rate(limits.threads);
  return limits;
}

std::string MachineLimits::text() const {
  return fmt::format("limits of {}: f32 {:.0f} GFLOP/s, bf16 {}, copy {:.1f} GB/s", machine,
                     f32_gflops,
                     bf16_gflops ? fmt::format("{:.0f} GFLOP/s", *bf16_gflops) : "not native",
                     copy_gbytes_per_second);
}

MachineLimits measure_limits(Backend& backend, int threads) {
  if (!backend.info().runs_ahead) return measure_machine_limits(threads);
  return {.machine = backend.info().description,
          .threads = threads,
          .f32_gflops = product_gflops(backend, DType::f32),
          .bf16_gflops = product_gflops(backend, DType::bf16),
          .copy_gbytes_per_second = copy_rate(backend)};
}

}  // namespace simclr
