// The communication ops on every backend, at several numbers of ranks.

#include <gtest/gtest.h>

#include "backend/backends.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr::testing {

namespace {

/// A program of the given ops on `backend`, run once.
std::unique_ptr<Executor> run(Program program, Backend& backend, const Communicators& communicators,
                              const std::function<void(Executor&)>& set) {
  auto executor = std::make_unique<Executor>(std::move(program), backend, communicators);
  set(*executor);
  executor->run(0, executor->program().ops.size());
  return executor;
}

class Communication : public ::testing::TestWithParam<std::size_t> {
 protected:
  const std::unique_ptr<Backend> backend_ = backends_under_test()[GetParam()].make();
  const std::unique_ptr<Communicator> world_ = make_world_communicator();
  const std::unique_ptr<Communicator> lane_ = world_->duplicate();
  const std::unique_ptr<Communicator> pairs_ = world_->split(world_->rank() / 2);
  const Communicators communicators_{
      .world = world_.get(), .bn_group = pairs_.get(), .gradient_lane = lane_.get()};
  const int rank_ = world_->rank();
  const int ranks_ = world_->size();
};

TEST_P(Communication, AllReduceSumsOverItsGroup) {
  for (const RankGroup group : {RankGroup::world, RankGroup::bn_group}) {
    Recorder recorder;
    const auto sums = recorder.tensor("sums", {2, 2, 5}, DType::f64, Storage::output);
    recorder.emit(AllReduce{.buffer = sums, .group = group});
    std::vector<double> values(20);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<double>(i) + 100 * rank_;
    }
    const auto executor = run(recorder.finish(), *backend_, communicators_, [&](Executor& fresh) {
      fresh.upload(sums, const_buffer_span(std::span<const double>(values)));
    });
    executor->download(sums, buffer_span(std::span(values)));
    const int first = group == RankGroup::world ? 0 : rank_ / 2 * 2;
    const int members = group == RankGroup::world ? ranks_ : pairs_->size();
    for (std::size_t i = 0; i < values.size(); ++i) {
      double wanted = 0;
      for (int r = first; r < first + members; ++r) wanted += static_cast<double>(i) + 100 * r;
      EXPECT_EQ(values[i], wanted) << i;
    }
  }
}

TEST_P(Communication, AllGatherKeepsRowsInRankOrder) {
  constexpr std::int64_t kRows = 3;
  constexpr std::int64_t kColumns = 21;  // not a whole number of blocks
  Recorder recorder;
  const auto local = recorder.tensor("local", {kRows, kColumns}, DType::f32, Storage::input);
  const auto all = recorder.tensor("all", {kRows * ranks_, kColumns}, DType::f32, Storage::output);
  recorder.emit(AllGather{.local = local, .all = all});
  const auto value = [](int rank, std::int64_t i) { return static_cast<float>(1000 * rank + i); };
  std::vector<float> mine(kRows * kColumns);
  for (std::size_t i = 0; i < mine.size(); ++i) {
    mine[i] = value(rank_, static_cast<std::int64_t>(i));
  }
  const auto executor = run(recorder.finish(), *backend_, communicators_, [&](Executor& fresh) {
    fresh.upload(local, const_buffer_span(std::span<const float>(mine)));
  });
  const auto got = executor->values(all);
  ASSERT_EQ(got.size(), mine.size() * static_cast<std::size_t>(ranks_));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto rank = static_cast<int>(i / mine.size());
    EXPECT_EQ(got[i], value(rank, static_cast<std::int64_t>(i % mine.size())));
  }
}

TEST_P(Communication, BucketsOfGradientsAreSummed) {
  constexpr std::int64_t kCount = 1001;
  Program program;
  program.tensors.push_back({.name = "gradients",
                             .shape = {kCount},
                             .dtype = DType::f32,
                             .storage = Storage::gradients,
                             .offset = 0});
  program.parameter_elements = kCount;
  const TensorId gradients{0};
  // The last elements belong to no bucket and stay as they are.
  program.ops = {ReduceGradients{.gradients = gradients, .begin = 0, .count = 300},
                 ReduceGradients{.gradients = gradients, .begin = 300, .count = 500},
                 WaitForGradients{.gradients = gradients}};
  program.labels.assign(program.ops.size(), "");
  std::vector<float> values(kCount);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i) * static_cast<float>(rank_ + 1);
  }
  const auto executor = run(std::move(program), *backend_, communicators_,
                            [&](Executor& fresh) { fresh.set_flat(Storage::gradients, values); });
  const auto got = executor->flat(Storage::gradients);
  float factor = 0;
  for (int rank = 0; rank < ranks_; ++rank) factor += static_cast<float>(rank + 1);
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i], i < 800 ? static_cast<float>(i) * factor : values[i]) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Communication,
                         ::testing::Range<std::size_t>(0, backends_under_test().size()),
                         [](const auto& entry) { return backends_under_test()[entry.param].name; });

}  // namespace

}  // namespace simclr::testing
