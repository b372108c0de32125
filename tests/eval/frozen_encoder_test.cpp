// Rank 0 reads a checkpoint for all ranks.

#include "simclr/eval/frozen_encoder.hpp"

#include <gtest/gtest.h>

#include "eval/synthetic_checkpoint.hpp"
#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

ModelDescription small_model() {
  ModelDescription model;
  model.encoder = {.depth = 18, .width = 0.125, .stem = Stem::cifar};
  model.image_size = 16;
  return model;
}

void expect_equal(const std::vector<NamedTensor>& found, const std::vector<NamedTensor>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].name, expected[i].name);
    EXPECT_EQ(found[i].shape, expected[i].shape);
    EXPECT_EQ(found[i].values, expected[i].values);
  }
}

TEST(FrozenEncoderTest, OnlyRankZeroNeedsTheFile) {
  const auto world = make_world_communicator();
  const TemporaryDirectory directory;  // of each rank; the others' are empty
  const auto file = directory.path() / "step-0000000007.h5";
  Checkpoint checkpoint = synthetic_checkpoint(small_model(), 3);
  checkpoint.step = 7;
  checkpoint.configuration = "[pretrain]\n";
  checkpoint.data = "a fingerprint";
  if (world->rank() == 0) (void)write_checkpoint(file, checkpoint);

  const EncoderWeights weights = read_checkpoint_weights(file, *world);
  expect_equal(weights.checkpoint.parameters, checkpoint.parameters);
  expect_equal(weights.checkpoint.running, checkpoint.running);
  EXPECT_EQ(weights.checkpoint.model, checkpoint.model);
  EXPECT_EQ(weights.model.encoder.width, 0.125);

  const FrozenEncoder encoder(file, *world);
  EXPECT_EQ(encoder.step(), 7);
  EXPECT_EQ(encoder.configuration(), "[pretrain]\n");
  EXPECT_EQ(encoder.data(), "a fingerprint");
  EXPECT_EQ(gather_texts(*world, encoder.checksum() + encoder.origin()),
            std::vector<std::string>(
                static_cast<std::size_t>(world->size()),
                weights.checkpoint.checksum + broadcast_text(*world, file.string())));
}

TEST(FrozenEncoderTest, WhatRankZeroRefusesAllRefuse) {
  const auto world = make_world_communicator();
  EXPECT_THROW(FrozenEncoder("/nowhere/step-0000000001.h5", *world), RefusedError);
}

}  // namespace
}  // namespace simclr
