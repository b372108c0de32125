// What the host uploads comes back, whatever the backend makes of it in between.

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "backend/on_each_backend.hpp"
#include "simclr/core/bf16.hpp"
#include "simclr/core/check.hpp"

namespace simclr::testing {

namespace {

class StoredTensors : public OnEachBackend {};

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all{{3, 5, 4, 16}, {2, 3, 5, 21}, {2, 3, 3, 7}, {2, 6, 5, 3},
                                      {2, 3, 2, 4},  {4, 48},       {3, 10},      {5, 2},
                                      {2, 2, 9},     {17}};
  return all;
}

/// Whole numbers that every dtype holds, different for neighbors.
std::vector<float> numbers(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 7 % 251);
  return values;
}

TEST_P(StoredTensors, ComeBackAsFloats) {
  for (const Storage storage : {Storage::arena, Storage::input, Storage::output}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32, DType::u8}) {
      for (const Shape& shape : shapes()) {
        const TensorInfo tensor{
            .name = "t", .shape = shape, .dtype = dtype, .storage = storage, .offset = 0};
        const Buffer memory = backend_->allocate(backend_->storage_bytes(tensor));
        ASSERT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % 64, 0U);
        backend_->poison({memory.data(), memory.bytes()});
        const auto sent = numbers(shape.elements());
        backend_->upload(tensor, memory.data(), const_buffer_span(std::span<const float>(sent)));
        under_test().check_stored(tensor, {memory.data(), memory.bytes()});
        std::vector<float> received(sent.size(), NAN);
        backend_->download(tensor, memory.data(), buffer_span(std::span(received)));
        EXPECT_EQ(sent, received) << shape.text() << " " << name_of(dtype);
      }
    }
  }
}

TEST_P(StoredTensors, ComeBackInTheirOwnType) {
  const TensorInfo sums{.name = "sums", .shape = {3}, .dtype = DType::f64};
  const Buffer memory = backend_->allocate(backend_->storage_bytes(sums));
  const std::vector<double> sent{1.0 / 3, -2e100, 5};
  backend_->upload(sums, memory.data(), const_buffer_span(std::span<const double>(sent)));
  std::vector<double> received(3);
  backend_->download(sums, memory.data(), buffer_span(std::span(received)));
  EXPECT_EQ(sent, received);
}

TEST_P(StoredTensors, RoundFloatsToNearestBf16) {
  const TensorInfo tensor{.name = "t", .shape = {1, 3}, .dtype = DType::bf16};
  const Buffer memory = backend_->allocate(backend_->storage_bytes(tensor));
  const std::vector<float> sent{1 + 0x1p-9F, 1 + 0x1.8p-8F, -0x1.fffffep+0F};
  backend_->upload(tensor, memory.data(), const_buffer_span(std::span<const float>(sent)));
  std::vector<float> received(3);
  backend_->download(tensor, memory.data(), buffer_span(std::span(received)));
  EXPECT_EQ(received, (std::vector<float>{1, 1 + 0x1p-7F, -2}));
}

TEST_P(StoredTensors, RefuseHostMemoryThatDoesNotMatch) {
  const TensorInfo tensor{.name = "t", .shape = {2, 3}, .dtype = DType::f32};
  const Buffer memory = backend_->allocate(backend_->storage_bytes(tensor));
  const std::vector<float> five(5);
  const std::vector<double> doubles(6);
  EXPECT_THROW(
      backend_->upload(tensor, memory.data(), const_buffer_span(std::span<const float>(five))),
      Error);
  EXPECT_THROW(
      backend_->upload(tensor, memory.data(), const_buffer_span(std::span<const double>(doubles))),
      Error);
}

TEST_P(StoredTensors, PoisonIsNanInEveryType) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    const TensorInfo tensor{.name = "t", .shape = {2, 3}, .dtype = dtype};
    const Buffer memory = backend_->allocate(backend_->storage_bytes(tensor));
    backend_->poison({memory.data(), memory.bytes()});
    std::vector<float> received(6);
    backend_->download(tensor, memory.data(), buffer_span(std::span(received)));
    for (const float value : received) EXPECT_TRUE(std::isnan(value)) << name_of(dtype);
  }
}

TEST_P(StoredTensors, SayWhetherTheyAreFinite) {
  for (const std::int64_t count : {1, 6, 4097, 1'200'003}) {
    const TensorInfo tensor{.name = "t", .shape = {count}, .storage = Storage::gradients};
    const Buffer memory = backend_->allocate(backend_->storage_bytes(tensor));
    std::vector<float> values = numbers(count);
    const auto is_finite_with = [&](std::int64_t at, float value) {
      float& one = values[static_cast<std::size_t>(at)];
      const float kept = std::exchange(one, value);
      backend_->upload(tensor, memory.data(), const_buffer_span(std::span<const float>(values)));
      one = kept;
      return backend_->all_finite(memory.data(), values.size());
    };
    EXPECT_TRUE(is_finite_with(0, -3e38F)) << count;
    EXPECT_FALSE(is_finite_with(0, NAN)) << count;
    EXPECT_FALSE(is_finite_with(count - 1, -INFINITY)) << count;
    EXPECT_FALSE(is_finite_with(count / 2, INFINITY)) << count;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, StoredTensors, each_backend(), name_of_backend);

}  // namespace

}  // namespace simclr::testing
