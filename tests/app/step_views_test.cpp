// What `bench step` gives its steps: views of the recipe, whoever renders them, and ready ones.

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "app/step_views.hpp"
#include "app/synthetic_batches.hpp"
#include "backend/on_each_backend.hpp"

namespace simclr::testing {

namespace {

constexpr int kSide = 16;
constexpr int kStoredSide = 20;
constexpr std::int64_t kSamples = 3;

class StepViewsTest : public OnEachBackend {
 protected:
  void SetUp() override {
    OnEachBackend::SetUp();
    if (IsSkipped()) return;
    memory_ = backend_->allocate(backend_->storage_bytes(tensor_));
    backend_->poison({memory_.data(), memory_.bytes()});
    spec_.augmentation.image_size = kSide;
  }

  /// What the step that follows this batch reads.
  std::vector<float> received(InputStage& stage, const InputBatch& batch) {
    stage.stage(batch);
    stage.commit();
    std::vector<float> values(static_cast<std::size_t>(tensor_.shape.elements()), NAN);
    backend_->download(tensor_, memory_.data(), buffer_span(std::span(values)));
    return values;
  }
  std::unique_ptr<InputStage> make_stage(const StepViews& views) {
    InputStageSpec expected = views.expected();
    expected.tensor = tensor_;
    expected.address = memory_.data();
    expected.samples = kSamples;
    return backend_->make_input_stage(expected);
  }
  /// Of batch k, view by view.
  [[nodiscard]] std::vector<float> rendered_here(std::int64_t k) const {
    const SyntheticBatches batches(spec_.augmentation, kStoredSide, kSamples,
                                   std::pmr::get_default_resource());
    const InputBatch batch = batches.with_images(k);
    std::vector<float> views(static_cast<std::size_t>(tensor_.shape.elements()), NAN);
    const std::size_t values = views.size() / batch.parameters.size();
    Augmenter augmenter(spec_.augmentation);
    for (std::size_t v = 0; v < batch.parameters.size(); ++v) {
      augmenter.render(batch.images[v % kSamples], batch.parameters[v],
                       std::span(views).subspan(v * values, values));
    }
    return views;
  }

  TensorInfo tensor_{.name = "views",
                     .shape = {2 * kSamples, kSide, kSide, 3},
                     .dtype = DType::f32,
                     .storage = Storage::input,
                     .offset = 0};
  StepViewsSpec spec_{.samples = kSamples, .stored_side = kStoredSide, .threads = 2};
  Buffer memory_;
};

TEST_P(StepViewsTest, AreRenderedByTheRecipe) {
  const auto views = make_rendered_views(spec_, *backend_);
  const auto stage = make_stage(*views);
  std::vector<std::vector<float>> batches;
  for (const std::int64_t k : {0, 1, 2, 3, 4}) {
    batches.push_back(received(*stage, views->batch(k)));
    const std::vector<float> wanted = rendered_here(k);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      ASSERT_NEAR(batches.back()[i], wanted[i], 5e-6) << "batch " << k << ", value " << i;
    }
  }
  EXPECT_NE(batches[0], batches[1]);
  EXPECT_NE(batches[1], batches[3]);
  EXPECT_EQ(batches[0], batches[4]);
}

TEST_P(StepViewsTest, AreReady) {
  const auto views = make_ready_views(spec_, *backend_);
  const auto stage = make_stage(*views);
  const std::vector<float> first = received(*stage, views->batch(0));
  for (const float value : first) ASSERT_TRUE(value >= 0 && value < 1) << value;
  EXPECT_NE(first.front(), first.back());
  EXPECT_EQ(received(*stage, views->batch(1)), first);
}

TEST(StoredSideTest, IsThatOfEvaluation) {
  for (const auto& [side, stored] :
       std::vector<std::pair<int, int>>{{8, 8}, {32, 32}, {33, 38}, {160, 183}, {224, 256}}) {
    EXPECT_EQ(usual_stored_side(side), stored);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, StepViewsTest, each_backend(), name_of_backend);

}  // namespace

}  // namespace simclr::testing
