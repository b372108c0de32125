// Views that the host rendered become the contents of their tensor, batch by batch.

#include <gtest/gtest.h>

#include <cmath>

#include "backend/on_each_backend.hpp"
#include "simclr/backend/host_memory.hpp"
#include "simclr/core/check.hpp"

namespace simclr::testing {

namespace {

class HostViews : public OnEachBackend {
 protected:
  void SetUp() override {
    OnEachBackend::SetUp();
    if (IsSkipped()) return;
    memory_ = backend_->allocate(backend_->storage_bytes(tensor_));
    backend_->poison({memory_.data(), memory_.bytes()});
    stage_ = backend_->make_input_stage({.tensor = tensor_, .address = memory_.data()});
  }
  [[nodiscard]] std::vector<float> received() {
    std::vector<float> values(static_cast<std::size_t>(tensor_.shape.elements()), NAN);
    backend_->download(tensor_, memory_.data(), buffer_span(std::span(values)));
    return values;
  }
  [[nodiscard]] std::vector<float> batch(int number) const {
    std::vector<float> values(static_cast<std::size_t>(tensor_.shape.elements()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(number * 10000) + static_cast<float>(i);
    }
    return values;
  }

  TensorInfo tensor_{.name = "views",
                     .shape = {6, 9, 9, 3},
                     .dtype = DType::f32,
                     .storage = Storage::input,
                     .offset = 0};
  Buffer memory_;
  std::unique_ptr<InputStage> stage_;
};

TEST_P(HostViews, ComeInTheOrderStaged) {
  std::vector<float> views;  // the same memory for every batch, rewritten once commit() returned
  for (int number = 0; number < 4; ++number) {
    views = batch(number);
    stage_->stage({.views = views});
    stage_->commit();
    views.assign(views.size(), NAN);
    EXPECT_EQ(received(), batch(number));
  }
}

TEST_P(HostViews, StayUntilTheNextCommit) {
  const std::vector<float> first = batch(1);
  const std::vector<float> second = batch(2);
  stage_->stage({.views = first});
  stage_->commit();
  stage_->stage({.views = second});
  EXPECT_EQ(received(), first);
  stage_->commit();
  EXPECT_EQ(received(), second);
}

TEST_P(HostViews, ComeAgainWhenCommittedAgain) {
  const std::vector<float> views = batch(5);
  stage_->stage({.views = views});
  stage_->commit();
  backend_->poison({memory_.data(), memory_.bytes()});
  stage_->commit();
  EXPECT_EQ(received(), views);
}

TEST_P(HostViews, ComeFromTheBackendsHostMemory) {
  HostMemory memory(*backend_);
  std::pmr::vector<float> views(&memory);
  for (const float value : batch(3)) views.push_back(value);  // grows through several blocks
  stage_->stage({.views = views});
  stage_->commit();
  EXPECT_EQ(received(), batch(3));
}

TEST_P(HostViews, AreRefusedInAnotherNumber) {
  std::vector<float> views = batch(1);
  views.pop_back();
  EXPECT_THROW(
      {
        stage_->stage({.views = views});
        stage_->commit();
      },
      Error);
}

INSTANTIATE_TEST_SUITE_P(Backends, HostViews, each_backend(), name_of_backend);

}  // namespace

}  // namespace simclr::testing
