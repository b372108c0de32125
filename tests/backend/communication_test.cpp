// The communication ops on every backend, at several numbers of ranks.

#include <gtest/gtest.h>

#include <cmath>

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

/// The ranks and, on a backend, the communicators of its programs.
struct Ranks {
  explicit Ranks(const RanksUnderTest& under_test)
      : backend(under_test.make(node_place(*control))),
        world(backend->make_communicator(*control, Lane::compute)),
        pairs(world->size() > 1 ? world->split(control->rank() / 2) : world->duplicate()),
        lane(backend->make_communicator(*control, Lane::gradients)) {}

  [[nodiscard]] Communicators communicators() const {
    return {.world = world.get(), .bn_group = pairs.get(), .gradient_lane = lane.get()};
  }

  std::unique_ptr<Communicator> control = make_world_communicator();
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Communicator> world, pairs, lane;
};

class Communication : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    const std::string reason = backends_under_test()[0].why_skip(DType::f32);
    if (!reason.empty()) GTEST_SKIP() << reason;
    ranks_under_test_ = std::make_unique<Ranks>(ranks_under_test()[GetParam()]);
    rank_ = ranks_under_test_->control->rank();
    ranks_ = ranks_under_test_->control->size();
  }
  [[nodiscard]] Backend& backend() const { return *ranks_under_test_->backend; }
  [[nodiscard]] Communicators communicators() const { return ranks_under_test_->communicators(); }

  std::unique_ptr<Ranks> ranks_under_test_;
  int rank_ = 0;
  int ranks_ = 1;
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
    const auto executor = run(recorder.finish(), backend(), communicators(), [&](Executor& fresh) {
      fresh.upload(sums, const_buffer_span(std::span<const double>(values)));
    });
    executor->download(sums, buffer_span(std::span(values)));
    const int first = group == RankGroup::world ? 0 : rank_ / 2 * 2;
    const int members = group == RankGroup::world ? ranks_ : communicators().bn_group->size();
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
  const auto executor = run(recorder.finish(), backend(), communicators(), [&](Executor& fresh) {
    fresh.upload(local, const_buffer_span(std::span<const float>(mine)));
  });
  const auto got = executor->values(all);
  ASSERT_EQ(got.size(), mine.size() * static_cast<std::size_t>(ranks_));
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto rank = static_cast<int>(i / mine.size());
    EXPECT_EQ(got[i], value(rank, static_cast<std::int64_t>(i % mine.size())));
  }
}

constexpr std::int64_t kCount = 1001;

/// Elements of `gradients` [0, 800) in two buckets; the others belong to none.
Program bucket_program() {
  Program program;
  program.tensors.push_back({.name = "gradients",
                             .shape = {kCount},
                             .dtype = DType::f32,
                             .storage = Storage::gradients,
                             .offset = 0});
  program.parameter_elements = program.trained_elements = kCount;
  const TensorId gradients{0};
  program.ops = {ReduceGradients{.gradients = gradients, .begin = 0, .count = 300},
                 ReduceGradients{.gradients = gradients, .begin = 300, .count = 500},
                 WaitForGradients{.gradients = gradients}};
  program.labels.assign(program.ops.size(), "");
  return program;
}

TEST_P(Communication, BucketsOfGradientsAreSummed) {
  std::vector<float> values(kCount);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i) * static_cast<float>(rank_ + 1);
  }
  const auto executor = run(bucket_program(), backend(), communicators(),
                            [&](Executor& fresh) { fresh.set_flat(Storage::gradients, values); });
  const auto got = executor->flat(Storage::gradients);
  float factor = 0;
  for (int rank = 0; rank < ranks_; ++rank) factor += static_cast<float>(rank + 1);
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i], i < 800 ? static_cast<float>(i) * factor : values[i]) << i;
  }
}

/// Buckets that are written in the step and read after it, beside collectives of the other lane.
struct StepProgram {
  Program program = bucket_program();
  TensorId sums =
      add({.name = "sums", .shape = {7}, .dtype = DType::f64, .storage = Storage::output});
  TensorId all, updated;

  explicit StepProgram(std::int64_t ranks) {
    all =
        add({.name = "all", .shape = {7 * ranks}, .dtype = DType::f64, .storage = Storage::output});
    updated = add({.name = "updated",
                   .shape = {kCount * ranks},
                   .dtype = DType::f32,
                   .storage = Storage::output});
    const TensorId gradients{0};
    const TensorId first = add({.name = "first",
                                .shape = {300},
                                .dtype = DType::f32,
                                .storage = Storage::gradients,
                                .offset = 0});
    const TensorId second = add({.name = "second",
                                 .shape = {500},
                                 .dtype = DType::f32,
                                 .storage = Storage::gradients,
                                 .offset = 300});
    const std::vector<Op> buckets = program.ops;
    program.ops = {
        AllReduce{.buffer = first, .reduction = Reduction::max},
        buckets[0],
        AllReduce{.buffer = sums},
        AllReduce{.buffer = second, .reduction = Reduction::min},
        buckets[1],
        AllGather{.local = sums, .all = all},
        AllReduce{.buffer = sums, .group = RankGroup::bn_group, .reduction = Reduction::max},
        buckets[2],
        AllGather{.local = gradients, .all = updated}};
    program.labels.assign(program.ops.size(), "");
  }

 private:
  TensorId add(TensorInfo info) {
    program.tensors.push_back(std::move(info));
    return TensorId{static_cast<std::int32_t>(program.tensors.size()) - 1};
  }
};

/// Again and again, op by op and as a whole: a backend may run a range that comes back from a
/// recording of it.
TEST_P(Communication, RunsAgainAsItRanOnce) {
  StepProgram step(ranks_);
  const TensorId sums = step.sums;
  const TensorId all = step.all;
  const TensorId updated = step.updated;
  Program program = std::move(step.program);
  Executor executor(std::move(program), backend(), communicators());
  const std::size_t ops = executor.program().ops.size();

  const auto run_from_the_start = [&](const std::function<void()>& run) {
    std::vector<float> values(kCount);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = 1.0F / static_cast<float>(i + 1 + static_cast<std::size_t>(rank_));
    }
    executor.set_flat(Storage::gradients, values);
    std::vector<double> own(7, 1.0 / (3 + rank_));
    executor.upload(sums, const_buffer_span(std::span<const double>(own)));
    run();
    std::vector<double> gathered(static_cast<std::size_t>(7 * ranks_));
    executor.download(all, buffer_span(std::span(gathered)));
    executor.download(sums, buffer_span(std::span(own)));
    gathered.insert(gathered.end(), own.begin(), own.end());
    return std::pair(executor.values(updated), gathered);
  };

  const auto wanted = run_from_the_start([&] {
    for (std::size_t op = 0; op < ops; ++op) executor.run(op, op + 1);
  });
  for (int time = 0; time < 4; ++time) {
    EXPECT_EQ(run_from_the_start([&] { executor.run(0, ops); }), wanted) << time;
    // A range may end while buckets are still being summed.
    const auto in_parts = run_from_the_start([&] {
      executor.run(0, 3);
      executor.run(3, ops);
    });
    EXPECT_EQ(in_parts, wanted) << time;
    const auto half_single = run_from_the_start([&] {
      for (std::size_t op = 0; op < 5; ++op) executor.run(op, op + 1);
      executor.run(5, ops);
    });
    EXPECT_EQ(half_single, wanted) << time;
  }
  for (std::size_t i = 0; i < kCount; ++i) {
    // Bucket 0 was rank 0's values on all ranks, bucket 1 the last rank's, the rest stays.
    const auto value = [&](int rank) {
      return 1.0F / static_cast<float>(i + 1 + static_cast<std::size_t>(rank));
    };
    const float expected = i < 300   ? value(0) * static_cast<float>(ranks_)
                           : i < 800 ? value(ranks_ - 1) * static_cast<float>(ranks_)
                                     : value(0);
    EXPECT_FLOAT_EQ(wanted.first[i], expected) << i;
  }
}

template <class T>
void expect_reduced(Backend& backend, Communicator& world, Reduction reduction,
                    const std::function<double(int)>& of_rank, double wanted) {
  const TensorInfo info{.name = "t", .shape = {3}, .dtype = dtype_of<T>};
  const Buffer memory = backend.allocate(backend.storage_bytes(info));
  const std::vector<float> own(3, static_cast<float>(of_rank(world.rank())));
  backend.upload(info, memory.data(), const_buffer_span(std::span<const float>(own)));
  world.all_reduce({memory.data(), 3, dtype_of<T>}, reduction);
  std::vector<float> got(3, NAN);
  backend.download(info, memory.data(), buffer_span(std::span(got)));
  EXPECT_EQ(got, std::vector<float>(3, static_cast<float>(wanted))) << name_of(dtype_of<T>);
}

TEST_P(Communication, ReducesEveryTypeInEveryWay) {
  if (ranks_ == 1) GTEST_SKIP() << "one rank has nothing to reduce";
  Communicator& world = *communicators().world;
  const auto rank = [](int r) { return r + 1.0; };
  const double sum = ranks_ * (ranks_ + 1) / 2.0;
  const auto for_type = [&]<class T>(T) {
    expect_reduced<T>(backend(), world, Reduction::sum, rank, sum);
    expect_reduced<T>(backend(), world, Reduction::max, rank, ranks_);
    expect_reduced<T>(backend(), world, Reduction::min, rank, 1);
  };
  for_type(float{});
  for_type(double{});
  for_type(std::int32_t{});
  expect_reduced<float>(backend(), world, Reduction::mean, rank, sum / ranks_);
  expect_reduced<double>(backend(), world, Reduction::mean, rank, sum / ranks_);
  if (backend().info().name == "cuda") {
    for_type(bf16{});
    for_type(f16{});
  }
}

TEST_P(Communication, BroadcastsAndWaits) {
  if (ranks_ == 1) GTEST_SKIP() << "one rank has nobody to tell";
  const TensorInfo info{.name = "t", .shape = {5}, .dtype = DType::f32};
  const Buffer memory = backend().allocate(backend().storage_bytes(info));
  const std::vector<float> own(5, static_cast<float>(rank_));
  backend().upload(info, memory.data(), const_buffer_span(std::span<const float>(own)));
  Communicator& world = *communicators().world;
  world.broadcast({memory.data(), 5, DType::f32}, ranks_ - 1);
  world.barrier();
  std::vector<float> got(5, NAN);
  backend().download(info, memory.data(), buffer_span(std::span(got)));
  EXPECT_EQ(got, std::vector<float>(5, static_cast<float>(ranks_ - 1)));
}

INSTANTIATE_TEST_SUITE_P(Backends, Communication,
                         ::testing::Range<std::size_t>(0, ranks_under_test().size()),
                         [](const auto& entry) { return ranks_under_test()[entry.param].name; });

}  // namespace

}  // namespace simclr::testing
