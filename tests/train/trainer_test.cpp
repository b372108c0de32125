// Tests of steps that are started before earlier ones are finished, on every backend.

#include "simclr/train/trainer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "network/on_backend.hpp"
#include "simclr/backend/host_memory.hpp"
#include "simclr/core/random.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kSteps = 4;

class TrainerTest : public test::OnBackend {
 protected:
  void SetUp() override {
    test::OnBackend::SetUp();
    if (IsSkipped()) return;
    config_.encoder = "resnet18";
    config_.width = 0.125;
    config_.image_size = 8;
    config_.batch_size = 4;
    config_.head.embedding = 16;
    config_.warmup_epochs = 0;
    config_.device.precision = Precision::fp32;
    memory_.emplace(backend());
  }

  void make_trainer() {
    trainer_ = std::make_unique<Trainer>(config_.task(0, 1), config_.trainer_options(kSteps),
                                         backend(), *world_);
  }

  /// Stages the batch of a step. Two batches are used in turn, so the step after the next
  /// overwrites this one.
  void stage(std::int64_t step) {
    ViewBatch& batch = batches_[static_cast<std::size_t>(step) % batches_.size()];
    const Program& program = trainer_->executor().program();
    const auto pixels = program.info(program.at("views")).shape.elements();
    batch.views = HostBuffer(DType::f32, static_cast<std::size_t>(pixels), &*memory_);
    PhiloxStream stream(1, RandomPurpose::kCrop, static_cast<std::uint32_t>(step), 0);
    const auto views = batch.views.values<float>();
    for (float& pixel : views) pixel = stream.uniform();
    if (step == bad_step_) views[7] = std::numeric_limits<float>::quiet_NaN();
    trainer_->stage(batch);
  }

  /// Runs all steps with at most `in_flight` in flight; returns their results up to the first
  /// non-finite one.
  std::vector<StepResult> run(int in_flight) {
    std::vector<StepResult> results;
    stage(0);
    for (std::int64_t step = 0; step < kSteps;) {
      trainer_->start_step(step++);
      if (step < kSteps) stage(step);
      while (trainer_->steps_in_flight() >= (step < kSteps ? in_flight : 1)) {
        results.push_back(trainer_->finish_step());
        if (results.back().not_finite) return results;
      }
    }
    return results;
  }

  /// Makes a new trainer and runs it.
  std::vector<StepResult> run_anew(int in_flight) {
    make_trainer();
    return run(in_flight);
  }

  std::vector<float> parameters() { return trainer_->executor().flat(Storage::parameters); }

  std::unique_ptr<Communicator> world_ = make_self_communicator();
  PretrainConfig config_;
  std::optional<HostMemory> memory_;
  std::array<ViewBatch, 2> batches_;
  std::unique_ptr<Trainer> trainer_;
  std::int64_t bad_step_ = -1;
};

/// What z_std says of unit vectors around one direction, which move by about `spread` in all.
double deviation_of(double spread, Backend& backend) {
  constexpr std::int64_t kViews = 256, kDimensions = 64;
  Recorder recorder;
  const TensorId u = recorder.tensor("u", {kViews, kDimensions}, DType::f32, Storage::input);
  recorder.emit(ColumnDeviation{u, recorder.named("z_std", {1}, DType::f64, Storage::output)});
  Executor executor(recorder.finish(), backend, {});
  PhiloxStream stream(5, RandomPurpose::kCrop, 0, 0);
  std::vector<float> rows;
  for (std::int64_t view = 0; view < kViews; ++view) {
    std::array<double, kDimensions> row{};
    double square = 0;
    for (double& value : row) {
      value = spread * std::sqrt(3.0 / kDimensions) * (2 * double{stream.uniform()} - 1);
    }
    row[0] += 1;
    for (const double value : row) square += value * value;
    for (const double value : row) rows.push_back(static_cast<float>(value / std::sqrt(square)));
  }
  executor.upload(u, const_buffer_span(std::span<const float>(rows)));
  executor.run_forward();
  double deviation = std::numeric_limits<double>::quiet_NaN();
  executor.download(executor.program().at("z_std"), buffer_span(std::span(&deviation, 1)));
  return deviation;
}

TEST_F(TrainerTest, CollapsedEmbeddingsAreKnownByTheirDeviation) {
  const Objective objective = contrastive_objective({}, true, 128, 64);
  ASSERT_TRUE(objective.collapse.has_value());
  EXPECT_EQ(objective.metrics.at(objective.collapse->metric).name, "z_std");
  const double limit = objective.collapse->at_most;
  EXPECT_NEAR(deviation_of(100, backend()), 1.0 / 8, 1e-3);  // everywhere: 1/sqrt(D)
  EXPECT_GT(deviation_of(0.1, backend()), 2 * limit);        // similarities of 0.99
  EXPECT_LT(deviation_of(0.01, backend()), limit / 2);       // similarities of 0.9999
  EXPECT_NEAR(deviation_of(0, backend()), 0, 1e-12);
}

TEST_F(TrainerTest, AllowsTwoStepsInFlightUnlessLossIsScaled) {
  make_trainer();
  EXPECT_EQ(trainer_->max_in_flight(), 2);
  config_.device.precision = Precision::fp16;
  make_trainer();
  EXPECT_EQ(trainer_->max_in_flight(), 1);
}

TEST_F(TrainerTest, StepsInFlightDoNotChangeResults) {
  const std::vector<StepResult> waited = run_anew(1);
  const std::vector<float> trained = parameters();
  const std::vector<StepResult> later = run_anew(2);
  EXPECT_EQ(parameters(), trained);
  ASSERT_EQ(later.size(), static_cast<std::size_t>(kSteps));
  for (std::size_t i = 0; i < later.size(); ++i) {
    EXPECT_EQ(later[i].step, static_cast<std::int64_t>(i));
    EXPECT_EQ(later[i].metrics, waited.at(i).metrics);
    EXPECT_EQ(later[i].learning_rate, waited[i].learning_rate);
    if (i > 0) {
      EXPECT_NE(later[i].loss(), later[i - 1].loss());
    }
  }
}

TEST_F(TrainerTest, ResultsEndWithANonFiniteStep) {
  bad_step_ = 2;
  const std::vector<StepResult> results = run_anew(2);
  EXPECT_EQ(trainer_->steps_in_flight(), 1);  // the step after it
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results.back().step, bad_step_);
  EXPECT_EQ(results.back().not_finite, NotFinite::loss);
  EXPECT_TRUE(std::ranges::none_of(results.begin(), results.end() - 1,
                                   [](const StepResult& r) { return r.not_finite.has_value(); }));
}

TEST_F(TrainerTest, NoStepAfterANonFiniteOneChangesAParameter) {
  make_trainer();
  bad_step_ = 0;
  stage(0);
  const std::vector<float> before = parameters();
  Executor& executor = trainer_->executor();
  trainer_->start_step(0);
  // Otherwise the next step would be non-finite, too.
  executor.set_flat(Storage::running, initial_running_statistics(executor.program()));
  stage(1);
  trainer_->start_step(1);
  EXPECT_EQ(trainer_->finish_step().not_finite, NotFinite::loss);
  EXPECT_TRUE(std::isfinite(trainer_->finish_step().loss()));
  EXPECT_EQ(parameters(), before);
}

TEST_F(TrainerTest, ANonFiniteStepIsExplainedWithItsOwnBatch) {
  bad_step_ = 1;
  const std::vector<StepResult> results = run_anew(2);
  stage(bad_step_);
  try {
    trainer_->explain_not_finite(results.back());
    FAIL() << "explain_not_finite() did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(cause_of(error), Cause::not_finite);
    EXPECT_NE(std::string(error.what())
                  .find("step 2: the loss is not finite; first offending op: "
                        "'pack_input"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace simclr
