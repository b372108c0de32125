// Staged inputs of every type become the contents of their tensors, batch by batch.

#include <gtest/gtest.h>

#include <cmath>

#include "backend/on_each_backend.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/backend/host_memory.hpp"
#include "simclr/core/check.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr::testing {

namespace {

/// Views in two types, labels, and targets whose rows a device stores with padding.
class StagedInputs : public OnEachBackend {
 protected:
  void SetUp() override {
    OnEachBackend::SetUp();
    if (IsSkipped()) return;
    Recorder recorder;
    views_ = recorder.named("views", {6, 9, 9, 3}, DType::f32, Storage::input);
    teacher_ = recorder.named("teacher", {6, 5, 5, 3}, DType::bf16, Storage::input);
    labels_ = recorder.named("labels", {6}, DType::i32, Storage::input);
    targets_ = recorder.named("targets", {6, 5}, DType::f32, Storage::input);
    control_ = recorder.named("control", {4}, DType::f32, Storage::control);
    executor_ = std::make_unique<Executor>(recorder.finish(), *backend_, Communicators{},
                                           ExecutorOptions{.stage_inputs = true});
  }

  [[nodiscard]] std::size_t count(TensorId input) const {
    return static_cast<std::size_t>(executor_->program().info(input).shape.elements());
  }

  /// One batch, other values for each input. Whole numbers up to 256: exact in every type.
  struct Batch {
    std::vector<float> views, targets;
    std::vector<bf16> teacher;
    std::vector<std::int32_t> labels;
  };
  [[nodiscard]] Batch batch(int number) const {
    const auto value = [&](std::size_t i, int input) {
      return static_cast<int>((i * 7 + static_cast<std::size_t>(number * 31 + input * 11)) % 251);
    };
    Batch batch;
    for (std::size_t i = 0; i < count(views_); ++i) {
      batch.views.push_back(static_cast<float>(value(i, 0)));
    }
    for (std::size_t i = 0; i < count(teacher_); ++i) {
      batch.teacher.push_back(to_bf16(static_cast<float>(value(i, 1))));
    }
    for (std::size_t i = 0; i < count(labels_); ++i) batch.labels.push_back(value(i, 2));
    for (std::size_t i = 0; i < count(targets_); ++i) {
      batch.targets.push_back(static_cast<float>(value(i, 3)));
    }
    return batch;
  }
  void stage(const Batch& batch) {
    executor_->stage(views_, const_buffer_span(std::span(batch.views)));
    executor_->stage(teacher_, const_buffer_span(std::span(batch.teacher)));
    executor_->stage(labels_, const_buffer_span(std::span(batch.labels)));
    executor_->stage(targets_, const_buffer_span(std::span(batch.targets)));
  }
  void expect_received(const Batch& batch) {
    EXPECT_EQ(executor_->values(views_), batch.views);
    EXPECT_EQ(executor_->values(targets_), batch.targets);
    std::vector<std::int32_t> labels(batch.labels.size(), -7);
    executor_->download(labels_, buffer_span(std::span(labels)));
    EXPECT_EQ(labels, batch.labels);
    const std::vector<float> teacher = executor_->values(teacher_);
    ASSERT_EQ(teacher.size(), batch.teacher.size());
    for (std::size_t i = 0; i < teacher.size(); ++i) {
      ASSERT_EQ(teacher[i], to_float(batch.teacher[i])) << i;
    }
  }

  TensorId views_, teacher_, labels_, targets_, control_;
  std::unique_ptr<Executor> executor_;
};

TEST_P(StagedInputs, ComeInTheOrderStaged) {
  Batch memory;  // the same for every batch, rewritten once commit() has returned
  for (int number = 0; number < 4; ++number) {
    memory = batch(number);
    stage(memory);
    executor_->commit();
    memory.views.assign(memory.views.size(), NAN);
    memory.targets.assign(memory.targets.size(), NAN);
    memory.labels.assign(memory.labels.size(), -1);
    memory.teacher.assign(memory.teacher.size(), to_bf16(NAN));
    expect_received(batch(number));
  }
}

TEST_P(StagedInputs, StayUntilTheNextCommit) {
  const Batch first = batch(1);
  const Batch second = batch(2);
  stage(first);
  executor_->commit();
  stage(second);
  expect_received(first);
  executor_->commit();
  expect_received(second);
}

TEST_P(StagedInputs, ComeAgainWhenCommittedAgain) {
  const Batch staged = batch(5);
  stage(staged);
  executor_->commit();
  const Batch other = batch(6);
  executor_->upload(views_, const_buffer_span(std::span(other.views)));
  executor_->upload(targets_, const_buffer_span(std::span(other.targets)));
  executor_->upload(labels_, const_buffer_span(std::span(other.labels)));
  executor_->upload(teacher_, const_buffer_span(std::span(other.teacher)));
  expect_received(other);
  executor_->commit();
  expect_received(staged);
}

TEST_P(StagedInputs, ComeFromTheBackendsHostMemory) {
  HostMemory memory(*backend_);
  const Batch staged = batch(3);
  stage(staged);
  std::pmr::vector<float> views(&memory);
  for (const float value : batch(4).views) views.push_back(value);  // grows through several blocks
  executor_->stage(views_, const_buffer_span(std::span<const float>(views)));
  executor_->commit();
  EXPECT_EQ(executor_->values(views_), batch(4).views);
}

TEST_P(StagedInputs, AreAllStagedOrNone) {
  EXPECT_THROW(executor_->commit(), Error) << "nothing has ever been staged";
  const Batch staged = batch(1);
  stage(staged);
  executor_->commit();
  executor_->stage(labels_, const_buffer_span(std::span(staged.labels)));
  EXPECT_THROW(executor_->commit(), Error) << "the views of another batch would go with the labels";
  stage(staged);
  executor_->commit();
  expect_received(staged);
}

TEST_P(StagedInputs, AreRefusedInAnotherNumberOrType) {
  const Batch staged = batch(1);
  const std::span<const float> views = staged.views;
  EXPECT_THROW(executor_->stage(views_, const_buffer_span(views.subspan(1))), Error);
  const std::vector<float> teacher(staged.teacher.size());
  EXPECT_THROW(executor_->stage(teacher_, const_buffer_span(std::span(teacher))), Error);
  const std::vector<float> control(4);
  EXPECT_THROW(executor_->stage(control_, const_buffer_span(std::span(control))), Error);
}

TEST_P(StagedInputs, AreStagedOnlyWhereTheProgramSaysSo) {
  Recorder recorder;
  const TensorId labels = recorder.named("labels", {6}, DType::i32, Storage::input);
  Executor executor(recorder.finish(), *backend_, {});
  const std::vector<std::int32_t> values(6);
  EXPECT_THROW(executor.stage(labels, const_buffer_span(std::span(values))), Error);
}

INSTANTIATE_TEST_SUITE_P(Backends, StagedInputs, each_backend(), name_of_backend);

}  // namespace

}  // namespace simclr::testing
