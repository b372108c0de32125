#include "simclr/program/recorder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "programs.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

template <class T>
std::size_t count(const Program& program) {
  return static_cast<std::size_t>(
      std::count_if(program.ops.begin(), program.ops.end(),
                    [](const Op& op) { return std::holds_alternative<T>(op); }));
}

TEST(Recorder, BackwardFollowsForwardInReverse) {
  const Program program = test::record({});
  ASSERT_LT(program.backward_begin, program.update_begin);
  const auto first_backward = verb(program.ops[program.backward_begin]);
  EXPECT_EQ(first_backward, "contrastive_backward");
  EXPECT_EQ(verb(program.ops[program.update_begin - 1]), "conv_backward_weights");
  EXPECT_EQ(program.labels[program.update_begin - 1], "stem");
  // Every convolution has its weight gradient, every one but the stem's its data gradient.
  EXPECT_EQ(count<ConvForward>(program), 20U);
  EXPECT_EQ(count<ConvBackwardWeights>(program), 20U);
  EXPECT_EQ(count<ConvBackwardData>(program), 19U);
}

TEST(Recorder, ResidualJoinsNeedNoAddOfTheirOwn) {
  EXPECT_EQ(count<AddInto>(test::record({})), 0U);
}

TEST(Recorder, FlatBuffersFollowTheOrderInWhichGradientsBecomeReady) {
  const Program program = test::record({});
  std::int64_t end = 0;
  for (auto p = program.parameters.rbegin(); p != program.parameters.rend(); ++p) {
    const TensorInfo& value = program.info(p->value);
    EXPECT_EQ(value.offset, program.info(p->gradient).offset);
    EXPECT_GE(value.offset, end);
    EXPECT_EQ(value.offset % 16, 0);
    end = value.offset + value.shape.elements();
  }
  EXPECT_GE(program.parameter_elements, end);
}

TEST(Recorder, RecomputationRepeatsNoStatisticsAndNoBlockOutputs) {
  const Program plain = test::record({.depth = 50, .stem = Stem::imagenet, .world_size = 2});
  const Program again =
      test::record({.depth = 50, .stem = Stem::imagenet, .world_size = 2, .recompute = true});
  EXPECT_EQ(count<BnStatistics>(plain), count<BnStatistics>(again));
  EXPECT_EQ(count<BnFinalize>(plain), count<BnFinalize>(again));
  EXPECT_EQ(count<AllReduce>(plain), count<AllReduce>(again));
  // 16 blocks of 3 convolutions and 4 shortcuts; two inner activations a block.
  EXPECT_EQ(count<ConvForward>(again) - count<ConvForward>(plain), 16U * 3 + 4);
  EXPECT_EQ(count<BnApply>(again) - count<BnApply>(plain), 16U * 2);
}

TEST(Recorder, EveryGradientContributionIsRead) {
  for (const bool recompute : {false, true}) {
    const Program program = test::record({.recompute = recompute});
    std::set<TensorId> read;
    for (const Op& op : program.ops) {
      for (const TensorId id : access(op).reads) read.insert(id);
    }
    for (std::size_t t = 0; t < program.tensors.size(); ++t) {
      const TensorInfo& info = program.tensors[t];
      if (info.storage != Storage::arena || !info.name.starts_with("d.")) continue;
      EXPECT_TRUE(read.contains({static_cast<std::int32_t>(t)})) << info.name;
    }
  }
}

TEST(Recorder, AsksForTheGradientOfATensorThatHasNone) {
  Recorder recorder;
  const TensorId x = recorder.tensor("x", {1}, DType::f32);
  EXPECT_THROW((void)recorder.contributions(x), Error);
  EXPECT_THROW((void)recorder.parameter_gradient(x), Error);
}

}  // namespace
}  // namespace simclr
