// The emulated device itself: what it must notice, and that what it says of warps is true.

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/kernels.hpp"
#include "kernels/reduce.cuh"
#include "launch.hpp"
#include "memory.hpp"
#include "simclr/core/bf16.hpp"

namespace simclr::cuda {
namespace {

/// A vector on the device.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values)
      : count_(values.size()), buffer_(allocate_device(values.size() * sizeof(T), "a test")) {
    check(cudaMemcpy(buffer_.data(), values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice),
          "");
  }
  [[nodiscard]] T* data() const { return reinterpret_cast<T*>(buffer_.data()); }
  [[nodiscard]] std::vector<T> values() const {
    std::vector<T> result(count_);
    check(cudaMemcpy(result.data(), buffer_.data(), count_ * sizeof(T), cudaMemcpyDeviceToHost),
          "");
    return result;
  }

 private:
  std::size_t count_;
  Buffer buffer_;
};

__global__ void sum_blocks(const float* values, float* sums) {
  const float sum = block_sum<64>(values[blockIdx.x * 64 + threadIdx.x]);
  if (threadIdx.x == 5) sums[blockIdx.x] = sum;
}

TEST(Emulation, SumsBlocks) {
  std::vector<float> values(192);
  std::iota(values.begin(), values.end(), 1.0F);
  const OnDevice<float> from(values);
  const OnDevice<float> sums(std::vector<float>(3));
  const Stream stream;
  launch(sum_blocks, {.grid = dim3(3), .block = dim3(64)}, stream.get(), from.data(), sums.data());
  EXPECT_EQ(sums.values(), (std::vector<float>{2080, 6176, 10272}));
}

__global__ void wait_apart(float* values) {
  if (threadIdx.x < 16) __syncwarp(0xFFFFFFFFU);
  values[threadIdx.x] = 1;
}

TEST(Emulation, NoticesThreadsThatWaitForever) {
  const OnDevice<float> values(std::vector<float>(32));
  const Stream stream;
  EXPECT_THROW(launch(wait_apart, {.block = dim3(32)}, stream.get(), values.data()),
               std::logic_error);
}

__global__ void write_at(float* values, int index) { values[index] = 1; }

TEST(EmulationDeathTest, NoticesWritesPastTheEnd) {
  const OnDevice<float> values(std::vector<float>(64));
  const Stream stream;
  launch(write_at, {}, stream.get(), values.data(), 63);
  EXPECT_DEATH(launch(write_at, {}, stream.get(), values.data(), 64), "");
}

TEST(EmulationDeathTest, NoticesHostCodeThatReadsDeviceMemory) {
  const OnDevice<float> values(std::vector<float>(64));
  EXPECT_DEATH((void)(*static_cast<volatile float*>(values.data())), "");
}

TEST(Emulation, RefusesImpossibleLaunches) {
  const OnDevice<float> values(std::vector<float>(64));
  const Stream stream;
  EXPECT_THROW(launch(write_at, {.block = dim3(2048)}, stream.get(), values.data(), 0), Error);
  EXPECT_THROW(launch(write_at, {.grid = dim3(0)}, stream.get(), values.data(), 0), Error);
  EXPECT_THROW(launch(write_at, {.shared_bytes = 300 << 10}, stream.get(), values.data(), 0),
               Error);
}

TEST(Emulation, GraphsRecordAndReplay) {
  const OnDevice<float> values(std::vector<float>(2));
  const Stream stream;
  check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), "");
  launch(write_at, {}, stream.get(), values.data(), 1);
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream.get(), &graph), "");
  EXPECT_EQ(values.values(), (std::vector<float>{0, 0}));
  cudaGraphExec_t exec = nullptr;
  check(cudaGraphInstantiate(&exec, graph), "");
  check(cudaGraphLaunch(exec, stream.get()), "");
  EXPECT_EQ(values.values(), (std::vector<float>{0, 1}));
  check(cudaGraphExecDestroy(exec), "");
  check(cudaGraphDestroy(graph), "");
}

/// What a capture of `work` on one stream, beside another, says at its end.
cudaError_t end_of_capture(const std::function<void(const Stream&, const Stream&)>& work) {
  const Stream origin;
  const Stream other;
  check(cudaStreamBeginCapture(origin.get(), cudaStreamCaptureModeThreadLocal), "");
  work(origin, other);
  cudaGraph_t graph = nullptr;
  const cudaError_t status = cudaStreamEndCapture(origin.get(), &graph);
  if (graph != nullptr) cudaGraphDestroy(graph);
  EXPECT_EQ(status == cudaSuccess, graph != nullptr);
  return status;
}

TEST(Emulation, CapturesWantForkedStreamsJoined) {
  const OnDevice<float> values(std::vector<float>(2));
  Event fork;
  Event join;
  const auto forked = [&](const Stream& origin, const Stream& other) {
    fork.record(origin.get());
    fork.make_wait(other.get());
    launch(write_at, {}, other.get(), values.data(), 0);
  };
  EXPECT_EQ(end_of_capture(forked), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(end_of_capture([&](const Stream& origin, const Stream& other) {
              forked(origin, other);
              join.record(other.get());
              join.make_wait(origin.get());
            }),
            cudaSuccess);
  EXPECT_EQ(end_of_capture([&](const Stream& origin, const Stream& other) {
              forked(origin, other);
              join.record(other.get());
              launch(write_at, {}, other.get(), values.data(), 1);
              join.make_wait(origin.get());
            }),
            cudaErrorStreamCaptureUnjoined);
}

TEST(Emulation, CapturesStayByThemselves) {
  EXPECT_EQ(end_of_capture([](const Stream& origin, const Stream& other) {
              Event outside;
              outside.record(other.get());
              EXPECT_THROW(outside.make_wait(origin.get()), Error);
            }),
            cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(end_of_capture([](const Stream& origin, const Stream&) {
              EXPECT_THROW(origin.synchronize(), Error);
            }),
            cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(end_of_capture([](const Stream&, const Stream&) {
              EXPECT_THROW((void)allocate_device(16, "a test"), Error);
            }),
            cudaErrorStreamCaptureInvalidated);
}

TEST(Emulation, LateStreamsWorkWhenTheyAreWaitedFor) {
  const OnDevice<float> values(std::vector<float>(3));
  setenv("SIMCLR_EMULATED_LATE_STREAMS", "all", 1);
  const Stream first;
  const Stream second;
  unsetenv("SIMCLR_EMULATED_LATE_STREAMS");
  Event written;
  launch(write_at, {}, first.get(), values.data(), 0);
  written.record(first.get());
  launch(write_at, {}, first.get(), values.data(), 1);
  written.make_wait(second.get());
  launch(write_at, {}, second.get(), values.data(), 2);
  EXPECT_EQ(values.values(), (std::vector<float>{0, 0, 0}));
  second.synchronize();
  EXPECT_EQ(values.values(), (std::vector<float>{1, 0, 1}));
  first.synchronize();
  EXPECT_EQ(values.values(), (std::vector<float>{1, 1, 1}));
}

// A row-major product by one warp, from fragments as PTX defines them.
__global__ void multiply_tile(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  const int group = static_cast<int>(threadIdx.x) / 4;
  const int member = static_cast<int>(threadIdx.x) % 4;
  const auto pair = [](std::uint16_t low, std::uint16_t high) {
    return static_cast<std::uint32_t>(low) | static_cast<std::uint32_t>(high) << 16;
  };
  std::uint32_t of_a[4];
  for (int i = 0; i < 4; ++i) {
    const int row = group + i % 2 * 8;
    const int column = 2 * member + i / 2 * 8;
    of_a[i] = pair(a[row * 16 + column], a[row * 16 + column + 1]);
  }
  std::uint32_t of_b[2];
  for (int i = 0; i < 2; ++i) {
    const int row = 2 * member + i * 8;
    of_b[i] = pair(b[row * 8 + group], b[(row + 1) * 8 + group]);
  }
  const float zero[4] = {};
  float sums[4];
  emulation::mma_m16n8k16(emulation::HalfType::bf16, sums, of_a, of_b, zero);
  for (int i = 0; i < 4; ++i) d[(group + i / 2 * 8) * 8 + 2 * member + i % 2] = sums[i];
}

TEST(Emulation, MultipliesTiles) {
  std::vector<std::uint16_t> a(256);
  std::vector<std::uint16_t> b(128);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = to_bf16(static_cast<float>(i % 7)).bits;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = to_bf16(static_cast<float>(i % 5) - 2).bits;
  const OnDevice<std::uint16_t> on_a(a);
  const OnDevice<std::uint16_t> on_b(b);
  const OnDevice<float> on_d(std::vector<float>(128));
  const Stream stream;
  launch(multiply_tile, {.block = dim3(32)}, stream.get(), on_a.data(), on_b.data(), on_d.data());
  const std::vector<float> d = on_d.values();
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      float wanted = 0;
      for (std::size_t k = 0; k < 16; ++k) {
        wanted += to_float(bf16{a[i * 16 + k]}) * to_float(bf16{b[k * 8 + j]});
      }
      EXPECT_EQ(d[i * 8 + j], wanted) << i << ' ' << j;
    }
  }
}

TEST(Emulation, ConvertsWeights) {
  std::vector<float> values(1003);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1.0F + static_cast<float>(i) * 0.003F;
  const OnDevice<float> from(values);
  const OnDevice<bf16> to(std::vector<bf16>(values.size()));
  const Stream stream;
  convert(from.data(), reinterpret_cast<std::byte*>(to.data()), 1003, DType::bf16, stream.get());
  const std::vector<bf16> got = to.values();
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].bits, to_bf16(values[i]).bits) << i;
  }
}

}  // namespace
}  // namespace simclr::cuda
