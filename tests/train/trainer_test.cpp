// Steps that are started before the results of earlier ones are taken, on every backend.

#include "simclr/train/trainer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <memory_resource>
#include <optional>
#include <vector>

#include "network/on_backend.hpp"
#include "simclr/backend/host_memory.hpp"
#include "simclr/core/random.hpp"

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
    for (int i = 0; i < 2; ++i) views_.emplace_back(&*memory_);
  }

  void make_trainer() { trainer_ = std::make_unique<Trainer>(config_, kSteps, backend(), *world_); }

  /// The batch of a step, in memory that is another step's next.
  void stage(std::int64_t step) {
    auto& views = views_[static_cast<std::size_t>(step) % views_.size()];
    const TensorId input = trainer_->executor().program().at("views");
    const TensorInfo& tensor = trainer_->executor().program().info(input);
    views.resize(static_cast<std::size_t>(tensor.shape.elements()));
    PhiloxStream stream(1, RandomPurpose::kCrop, static_cast<std::uint32_t>(step), 0);
    for (float& pixel : views) pixel = stream.uniform();
    if (step == bad_step_) views[7] = std::numeric_limits<float>::quiet_NaN();
    trainer_->stage(input, const_buffer_span(std::span<const float>(views)));
  }

  /// Results in order, with at most `under_way` steps begun ahead of them; until a bad one.
  std::vector<StepResult> run(int under_way) {
    std::vector<StepResult> results;
    stage(0);
    for (std::int64_t step = 0; step < kSteps;) {
      trainer_->start_step(step++);
      if (step < kSteps) stage(step);
      while (trainer_->steps_under_way() >= (step < kSteps ? under_way : 1)) {
        results.push_back(trainer_->finish_step());
        if (results.back().not_finite) return results;
      }
    }
    return results;
  }

  /// A trainer as it was at first, and what it does.
  std::vector<StepResult> run_anew(int under_way) {
    make_trainer();
    return run(under_way);
  }

  std::vector<float> parameters() { return trainer_->executor().flat(Storage::parameters); }

  std::unique_ptr<Communicator> world_ = make_self_communicator();
  PretrainConfig config_;
  std::optional<HostMemory> memory_;
  std::vector<std::pmr::vector<float>> views_;
  std::unique_ptr<Trainer> trainer_;
  std::int64_t bad_step_ = -1;
};

TEST_F(TrainerTest, TwoStepsAreUnderWayWhereNobodyHasToWait) {
  EXPECT_EQ(Trainer(config_, kSteps, backend(), *world_).most_under_way(), 2);
  config_.device.precision = Precision::fp16;
  EXPECT_EQ(Trainer(config_, kSteps, backend(), *world_).most_under_way(), 1);
}

TEST_F(TrainerTest, ResultsTakenLaterAreTheSame) {
  const std::vector<StepResult> waited = run_anew(1);
  const std::vector<float> trained = parameters();
  const std::vector<StepResult> later = run_anew(2);
  EXPECT_EQ(parameters(), trained);
  ASSERT_EQ(later.size(), static_cast<std::size_t>(kSteps));
  for (std::size_t i = 0; i < later.size(); ++i) {
    EXPECT_EQ(later[i].step, static_cast<std::int64_t>(i));
    EXPECT_EQ(later[i].loss, waited.at(i).loss);
    EXPECT_EQ(later[i].contrastive_top1, waited[i].contrastive_top1);
    EXPECT_EQ(later[i].entropy, waited[i].entropy);
    EXPECT_EQ(later[i].learning_rate, waited[i].learning_rate);
    if (i > 0) {
      EXPECT_NE(later[i].loss, later[i - 1].loss);
    }
  }
}

TEST_F(TrainerTest, ResultsEndWithABadStep) {
  bad_step_ = 2;
  const std::vector<StepResult> results = run_anew(2);
  EXPECT_EQ(trainer_->steps_under_way(), 1);  // the step behind it
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results.back().step, bad_step_);
  EXPECT_EQ(results.back().not_finite, NotFinite::loss);
  EXPECT_TRUE(std::ranges::none_of(results.begin(), results.end() - 1,
                                   [](const StepResult& r) { return r.not_finite.has_value(); }));
}

TEST_F(TrainerTest, NoStepBehindABadOneChangesAParameter) {
  make_trainer();
  bad_step_ = 0;
  stage(0);
  const std::vector<float> before = parameters();
  Executor& executor = trainer_->executor();
  trainer_->start_step(0);
  // Else the step behind it would be bad, too.
  executor.set_flat(Storage::running, initial_running_statistics(executor.program()));
  stage(1);
  trainer_->start_step(1);
  EXPECT_EQ(trainer_->finish_step().not_finite, NotFinite::loss);
  EXPECT_TRUE(std::isfinite(trainer_->finish_step().loss));
  EXPECT_EQ(parameters(), before);
}

TEST_F(TrainerTest, ABadStepIsExplainedByItsOwnBatch) {
  bad_step_ = 1;
  const std::vector<StepResult> results = run_anew(2);
  stage(bad_step_);
  try {
    trainer_->explain_not_finite(results.back());
    FAIL() << "it has not thrown";
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
