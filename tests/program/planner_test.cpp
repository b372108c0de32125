#include "simclr/program/planner.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "programs.hpp"
#include "simclr/core/check.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {
namespace {

/// The property itself, from the ops and not from the planner's lifetimes: executing the program
/// symbolically, no op's write may touch the bytes of a value that a later op still reads.
void expect_no_live_overlap(const Program& program, const ArenaPlan& plan) {
  const auto in_arena = [&](TensorId id) { return program.info(id).storage == Storage::arena; };
  std::vector<std::size_t> last_read(program.tensors.size(), 0);
  for (std::size_t op = 0; op < program.ops.size(); ++op) {
    for (const TensorId id : access(program.ops[op]).reads) {
      last_read[static_cast<std::size_t>(id.value)] = op;
    }
  }
  std::vector<std::size_t> alive;
  for (std::size_t op = 0; op < program.ops.size(); ++op) {
    const Access accessed = access(program.ops[op]);
    std::erase_if(alive, [&](std::size_t t) { return last_read[t] < op; });
    for (const TensorId id : accessed.writes) {
      const auto t = static_cast<std::size_t>(id.value);
      if (!in_arena(id)) continue;
      for (const std::size_t other : alive) {
        if (other == t) continue;
        const bool apart = plan.offset[t] + plan.bytes[t] <= plan.offset[other] ||
                           plan.offset[other] + plan.bytes[other] <= plan.offset[t];
        ASSERT_TRUE(apart) << describe(program, op) << " writes '" << program.tensors[t].name
                           << "' over '" << program.tensors[other].name << "'";
      }
      ASSERT_LE(plan.offset[t] + plan.bytes[t], plan.arena_bytes);
      if (std::find(alive.begin(), alive.end(), t) == alive.end()) alive.push_back(t);
    }
  }
}

TEST(Planner, NeverOverlapsLiveTensorsOfRealPrograms) {
  for (const int depth : {18, 50}) {
    for (const Stem stem : {Stem::cifar, Stem::imagenet}) {
      for (const bool recompute : {false, true}) {
        for (const int world_size : {1, 4}) {
          const Program program = test::record({depth, stem, world_size, recompute});
          expect_no_live_overlap(program, plan_arena(program, test::packed_bytes));
        }
      }
    }
  }
}

/// Random chains with random fan-in and random sizes.
Program random_program(std::mt19937& rng) {
  Recorder recorder;
  std::vector<TensorId> made;
  const auto pick = [&] { return made[rng() % made.size()]; };
  for (int i = 0; i < 60; ++i) {
    const Shape shape{1 + static_cast<std::int64_t>(rng() % 5000)};
    const TensorId out = recorder.tensor("t", shape, rng() % 2 ? DType::f32 : DType::bf16);
    if (made.size() < 3) {
      const TensorId in = recorder.tensor("in", shape, DType::f32, Storage::input);
      recorder.emit(PackInput{in, out});
    } else {
      recorder.emit(ReluBackward{pick(), pick(), out});
      if (rng() % 4 == 0) recorder.emit(AddInto{pick(), out});
    }
    made.push_back(out);
  }
  return recorder.finish();
}

TEST(Planner, NeverOverlapsLiveTensorsOfRandomPrograms) {
  std::mt19937 rng(7);
  for (int repeat = 0; repeat < 50; ++repeat) {
    const Program program = random_program(rng);
    const ArenaPlan plan = plan_arena(program, test::packed_bytes);
    expect_no_live_overlap(program, plan);
    EXPECT_GE(plan.arena_bytes, report_memory(program, plan, 0).live_peak_bytes);
  }
}

TEST(Planner, KeptTensorsLiveToTheEnd) {
  const Program program = test::record({});
  const TensorId h = program.at("h");
  const ArenaPlan plan = plan_arena(program, test::packed_bytes, {h});
  EXPECT_EQ(plan.lifetime[static_cast<std::size_t>(h.value)].last, program.ops.size());
}

TEST(Planner, RefusesAProgramThatReadsWhatNothingWrote) {
  Recorder recorder;
  const TensorId a = recorder.tensor("never_written", {4}, DType::f32);
  recorder.emit(Relu{a, recorder.tensor("out", {4}, DType::f32)});
  const Program program = recorder.finish();
  EXPECT_THROW(plan_arena(program, test::packed_bytes), Error);
}

/// The project's memory goals for ResNet-50 at 224 in bf16, per view.
TEST(Planner, KeepsTheMemoryGoalsOfResnet50) {
  for (const bool recompute : {false, true}) {
    PretrainingSpec spec;
    spec.local_samples = 4;
    spec.activations = DType::bf16;
    spec.recompute_blocks = recompute;
    const Program program = record_pretraining(spec);
    const MemoryReport report = report_memory(program, plan_arena(program, test::packed_bytes), 0);
    const double saved = static_cast<double>(report.saved_activation_bytes) / 8;
    EXPECT_LE(saved, recompute ? 15e6 : 45e6);
    // The greedy layout wastes little over what is alive at the peak.
    EXPECT_LE(static_cast<double>(report.arena_bytes),
              1.05 * static_cast<double>(report.live_peak_bytes));
  }
}

}  // namespace
}  // namespace simclr
