#include "train/divergence.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "simclr/core/random.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kBatch = 256;
constexpr std::int64_t kSteps = 200;
const double kGuessing = std::log(2.0 * kBatch - 1);  // 6.24

/// A loss curve: add(loss, steps) appends steps until the watch reports divergence; `step` is then
/// that step.
class Trace {
 public:
  explicit Trace(std::int64_t batch = kBatch, double temperature = 0.1, std::int64_t steps = kSteps)
      : watch(contrastive_objective({.temperature = static_cast<float>(temperature)}, true, batch,
                                    128)
                  .levels,
              steps) {}

  Trace& add(double loss, std::int64_t steps, double noise = 0) {
    for (std::int64_t i = 0; i < steps && !watch.diverged(); ++i) {
      watch.add(++step, loss + noise * (2 * stream_.uniform() - 1));
    }
    return *this;
  }

  DivergenceWatch watch;
  std::int64_t step = 0;

 private:
  PhiloxStream stream_{7, RandomPurpose::kCrop, 0, 0};
};

TEST(Divergence, DetectsACollapse) {
  Trace trace;
  trace.add(5, 100).add(kGuessing, 1000);
  EXPECT_TRUE(trace.watch.diverged());
  // 200 steps after the running mean has fallen.
  EXPECT_GT(trace.step, 300);
  EXPECT_LT(trace.step, 400);
  EXPECT_LE(trace.watch.healthy_until(), 100);
  EXPECT_GT(trace.watch.healthy_until(), 25);
  EXPECT_NE(trace.watch.reason("ln(2N - 1)").find("ln(2N - 1) = 6.2364"), std::string::npos)
      << trace.watch.reason("ln(2N - 1)");
}

TEST(Divergence, KnowsARunThatHasLearnedNothing) {
  EXPECT_FALSE(Trace().add(kGuessing, 99).watch.learned_nothing());
  EXPECT_TRUE(Trace().add(kGuessing, 100).watch.learned_nothing());
  EXPECT_FALSE(Trace().add(5, 100).watch.learned_nothing());
  EXPECT_FALSE(Trace(kBatch, 0.1, 0).add(kGuessing, 100).watch.learned_nothing());
}

TEST(Divergence, DetectsMeaninglessEmbeddings) {
  EXPECT_TRUE(Trace().add(5, 100).add(kGuessing + 0.5, 1000, 0.6).watch.diverged());
  EXPECT_TRUE(Trace(16, 0.5).add(2.5, 200, 0.5).add(3.6, 1000, 0.5).watch.diverged());
}

TEST(Divergence, IgnoresARunThatHasNotLearned) {
  EXPECT_FALSE(Trace().add(kGuessing, 10000).watch.diverged());
  EXPECT_FALSE(Trace()
                   .add(kGuessing + 8, 10000, 5)
                   .watch.diverged());  // as at the start with a low temperature
  EXPECT_FALSE(Trace().add(kGuessing - 0.1, 10000, 0.2).watch.diverged());
}

TEST(Divergence, IgnoresSpikesAndNoise) {
  Trace trace;
  for (int spike = 0; spike < 20; ++spike) trace.add(4, 60).add(20, 30);
  EXPECT_FALSE(trace.watch.diverged());
  EXPECT_FALSE(Trace(2, 0.5).add(0.9, 20000, 0.8).watch.diverged());
  EXPECT_FALSE(Trace(16, 0.05).add(3, 20000, 3).watch.diverged());
}

TEST(Divergence, CanBeDisabledOrDelayed) {
  EXPECT_FALSE(Trace(kBatch, 0.1, 0).add(4, 100).add(kGuessing, 10000).watch.diverged());
  EXPECT_FALSE(Trace(kBatch, 0.1, 2000).add(4, 100).add(kGuessing, 2000).watch.diverged());
}

TEST(Divergence, IsDetectedAcrossARestart) {
  // Logged rows, one every 10 steps, count for the steps between them.
  DivergenceWatch watch(contrastive_objective({}, true, kBatch, 128).levels, kSteps);
  for (std::int64_t step = 10; step <= 200; step += 10)
    watch.add(step, step <= 100 ? 4 : kGuessing);
  watch.resume_after(205);
  EXPECT_FALSE(watch.diverged());
  std::int64_t step = 205;
  while (!watch.diverged() && step < 1000) watch.add(++step, kGuessing);
  EXPECT_LT(step, 400);
  // For a run resumed in another directory the losses of earlier steps are unknown.
  DivergenceWatch fork(contrastive_objective({}, true, kBatch, 128).levels, kSteps);
  fork.resume_after(100000);
  fork.add(100001, 4);
  EXPECT_FALSE(fork.diverged());
  for (step = 100002; step < 101000; ++step) fork.add(step, kGuessing);
  EXPECT_FALSE(fork.diverged()) << "one good step must not count as learning";
}

TEST(Divergence, HealthyStepFollowsAtADistance) {
  Trace trace;
  trace.add(4, 1000);
  EXPECT_LT(trace.watch.healthy_until(), 1000);
  EXPECT_GT(trace.watch.healthy_until(), 900);
}

}  // namespace
}  // namespace simclr
