// What the op cases cannot say of TopK: one program for blocks of every size, NaN, its limit.

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "backend/on_each_backend.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/core/check.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr::testing {

namespace {

Program record(std::int64_t rows, std::int64_t columns, std::int64_t k) {
  Recorder r;
  const Recorder::Frozen frozen(r);
  r.emit(TopK{.values = r.named("values", {rows, columns}, DType::f32, Storage::input),
              .valid = r.named("valid", {1}, DType::i32, Storage::control),
              .best = r.named("best", {rows, k}, DType::f32, Storage::output),
              .columns = r.named("columns", {rows, k}, DType::i32, Storage::output)});
  return r.finish();
}

class LargestOfRows : public OnEachBackend {};

/// One row, of which the first `valid` columns count.
void select(Executor& executor, const std::vector<float>& values, std::int32_t valid) {
  const Program& program = executor.program();
  executor.upload(program.at("values"), const_buffer_span(std::span(values)));
  executor.upload(program.at("valid"), const_buffer_span(std::span<const std::int32_t>(&valid, 1)));
  executor.run_forward();
}
std::vector<std::int32_t> columns(const Executor& executor) {
  const TensorId id = executor.program().at("columns");
  std::vector<std::int32_t> values(
      static_cast<std::size_t>(executor.program().info(id).shape.elements()));
  executor.download(id, buffer_span(std::span(values)));
  return values;
}

TEST_P(LargestOfRows, HoldForTheColumnsOfEachRun) {
  Executor executor(record(1, 40, 4), *backend_, {});
  std::vector<float> rising(40);
  std::iota(rising.begin(), rising.end(), 0.0F);
  for (int repeat = 0; repeat < 2; ++repeat) {
    select(executor, rising, 40);
    EXPECT_EQ(columns(executor), (std::vector<std::int32_t>{39, 38, 37, 36}));
    select(executor, rising, 6);
    EXPECT_EQ(columns(executor), (std::vector<std::int32_t>{5, 4, 3, 2}));
    select(executor, rising, 2);
    EXPECT_EQ(columns(executor), (std::vector<std::int32_t>{1, 0, -1, -1}));
    const auto best = executor.values(executor.program().at("best"));
    EXPECT_EQ(best, (std::vector<float>{1, 0, -INFINITY, -INFINITY}));
  }
}

TEST_P(LargestOfRows, TakesNoMoreColumnsThanThereAre) {
  Executor executor(record(1, 3, 2), *backend_, {});
  select(executor, {1, 2, 3}, 1000);
  EXPECT_EQ(columns(executor), (std::vector<std::int32_t>{2, 1}));
  select(executor, {1, 2, 3}, -1000);
  EXPECT_EQ(columns(executor), (std::vector<std::int32_t>{-1, -1}));
}

TEST_P(LargestOfRows, ShowNan) {
  Executor executor(record(1, 6, 4), *backend_, {});
  select(executor, {1, -NAN, INFINITY, NAN, 2, 0}, 6);
  EXPECT_EQ(columns(executor), (std::vector<std::int32_t>{1, 3, 2, 4}));
  const auto best = executor.values(executor.program().at("best"));
  EXPECT_TRUE(std::isnan(best[0]) && std::isnan(best[1])) << best[0] << ' ' << best[1];
}

TEST_P(LargestOfRows, AreRefusedWhereTheyAreTooManyForTheDevice) {
  if (backend_->info().name == "cuda") {
    EXPECT_THROW(Executor(record(1, 2000, 1025), *backend_, {}), RefusedError);
  }
  Executor executor(record(1, 2000, 1024), *backend_, {});
  std::vector<float> falling(2000);
  std::iota(falling.rbegin(), falling.rend(), 0.0F);
  select(executor, falling, 2000);
  std::vector<std::int32_t> first(1024);
  std::iota(first.begin(), first.end(), 0);
  EXPECT_EQ(columns(executor), first);
}

INSTANTIATE_TEST_SUITE_P(Backends, LargestOfRows, each_backend(), name_of_backend);

}  // namespace

}  // namespace simclr::testing
