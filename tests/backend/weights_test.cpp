// Convolutions read the weights that uploads and updates have left: masters and their copies in the
// activations' type never differ by more than the rounding.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <numeric>

#include "backend/backends.hpp"
#include "backend/op_cases.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/optim/optimizer.hpp"

namespace simclr::testing {

namespace {

constexpr std::int64_t kIn = 16;

struct Update {
  std::string name;
  OptimizerSpec spec;
  float learning_rate;  ///< one with which most weights change visibly
};

const std::vector<Update>& updates() {
  static const std::vector<Update> all{
      {"lars", {.kind = OptimizerKind::lars, .momentum = 0.9F, .weight_decay = 0.1F}, 200},
      {"sgd", {.kind = OptimizerKind::sgd, .momentum = 0.9F, .weight_decay = 0.1F}, 0.5F},
      {"adamw", {.kind = OptimizerKind::adamw, .momentum = 0.9F, .weight_decay = 0.1F}, 0.25F}};
  return all;
}

/// A filter, and what its 1x1 convolution makes of the unit vectors: the filter as it is read.
struct Filter {
  TensorId w, before, after;
};

/// Reads all filters [before the update and] after it.
class TrainedWeights {
 public:
  TrainedWeights(Backend& backend, DType activations, const Update& update, bool reads_before)
      : activations_(activations), learning_rate_(update.learning_rate) {
    Recorder r;
    x_ = r.named("x", {1, 4, 4, kIn}, activations, Storage::input);
    // More than a chunk; a parameter that leaves a gap behind it; channels that need padding.
    add_filter(r, "wide", 520);
    const TensorId bias = r.parameter("bias", {7}, {}, false);
    (void)r.parameter_gradient(bias);
    add_filter(r, "odd", 21);
    add_filter(r, "narrow", 8);
    if (reads_before) {
      for (const Filter& f : filters_) r.emit(ConvForward{.x = x_, .w = f.w, .y = f.before});
    }
    executor_ = std::make_unique<Executor>(r.finish([&](Recorder& recorder) {
      record_update(recorder, update.spec, record_control(recorder));
      for (const Filter& f : filters_) {
        recorder.emit(ConvForward{.x = x_, .w = f.w, .y = f.after});
      }
    }),
                                           backend, Communicators{});
    upload_inputs();
  }

  [[nodiscard]] Executor& executor() { return *executor_; }
  [[nodiscard]] const std::vector<Filter>& filters() const { return filters_; }

  void set_masters(float scale) {
    executor_->set_flat(Storage::parameters,
                        numbers(scale, executor_->program().parameter_elements));
  }
  /// The masters of a filter as its activations' type holds them.
  [[nodiscard]] std::vector<float> rounded_masters(const Filter& filter) const {
    std::vector<float> values = executor_->values(filter.w);
    for (float& v : values) v = static_cast<float>(rounded_to(activations_, v));
    return values;
  }
  /// The filter (K, C) as its convolution read it.
  [[nodiscard]] std::vector<float> as_read(TensorId y) const {
    const std::vector<float> values = executor_->values(y);
    const std::size_t out = values.size() / kIn;
    std::vector<float> filter(values.size());
    for (std::size_t c = 0; c < kIn; ++c) {
      for (std::size_t k = 0; k < out; ++k) filter[k * kIn + c] = values[c * out + k];
    }
    return filter;
  }

 private:
  void add_filter(Recorder& r, const std::string& name, std::int64_t out) {
    const Shape y{1, 4, 4, out};
    const TensorId w = r.parameter(name, {out, 1, 1, kIn}, {}, true);
    (void)r.parameter_gradient(w);
    filters_.push_back({.w = w,
                        .before = r.named(name + " before", y, activations_, Storage::output),
                        .after = r.named(name + " after", y, activations_, Storage::output)});
  }

  static std::vector<float> numbers(float scale, std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = scale * (static_cast<float>(i * 7919 % 1009) / 504.0F - 1.001F);
    }
    return values;
  }

  void upload_inputs() {
    std::vector<float> unit_vectors(kIn * kIn);
    for (std::size_t i = 0; i < kIn; ++i) unit_vectors[i * kIn + i] = 1;
    executor_->upload(x_, const_buffer_span(std::span<const float>(unit_vectors)));
    const std::vector<float> control{learning_rate_, 10, 1000, 8};
    executor_->upload(executor_->program().at("control"),
                      const_buffer_span(std::span<const float>(control)));
    executor_->set_flat(Storage::gradients, numbers(-4, executor_->program().parameter_elements));
    set_masters(1);
  }

  DType activations_;
  float learning_rate_;
  TensorId x_;
  std::vector<Filter> filters_;
  std::unique_ptr<Executor> executor_;
};

std::size_t differences(const std::vector<float>& a, const std::vector<float>& b) {
  return static_cast<std::size_t>(
      std::inner_product(a.begin(), a.end(), b.begin(), 0, std::plus<>(), std::not_equal_to<>()));
}

using Parameter = std::tuple<std::size_t, DType>;  // update, activations

class Weights : public ::testing::TestWithParam<Parameter> {
 protected:
  void SetUp() override {
    const std::string reason = backends_under_test()[0].why_skip(std::get<1>(GetParam()));
    if (!reason.empty()) GTEST_SKIP() << reason;
    backend_ = backends_under_test()[0].make();
  }
  [[nodiscard]] TrainedWeights make(bool reads_before) const {
    const auto [update, activations] = GetParam();
    return {*backend_, activations, updates()[update], reads_before};
  }
  std::unique_ptr<Backend> backend_;
};

TEST_P(Weights, AreReadAsTheUpdateLeftThem) {
  TrainedWeights weights = make(true);
  const std::size_t ops = weights.executor().program().ops.size();
  std::vector<std::vector<float>> initial;
  for (const Filter& f : weights.filters()) initial.push_back(weights.rounded_masters(f));
  for (int step = 0; step < 2; ++step) weights.executor().run(0, ops);
  for (std::size_t i = 0; i < initial.size(); ++i) {
    const Filter& f = weights.filters()[i];
    const std::vector<float> before = weights.as_read(f.before);  // what the first step has left
    const std::vector<float> after = weights.as_read(f.after);
    EXPECT_EQ(after, weights.rounded_masters(f));
    EXPECT_GT(differences(before, initial[i]), initial[i].size() / 2);
    EXPECT_GT(differences(before, after), initial[i].size() / 2);
  }
}

TEST_P(Weights, AreReadAsAnUpdateThatWasPreparedBeforeLeftThem) {
  TrainedWeights weights = make(false);
  weights.executor().run(0, weights.executor().program().ops.size());
  for (const Filter& f : weights.filters()) {
    EXPECT_EQ(weights.as_read(f.after), weights.rounded_masters(f));
  }
}

TEST_P(Weights, AreReadAsTheyWereUploaded) {
  TrainedWeights weights = make(true);
  const std::size_t ops = weights.executor().program().ops.size();
  const std::size_t update = weights.executor().program().update_begin;
  weights.executor().run(0, ops);
  weights.set_masters(0.75F);
  weights.executor().run(0, update);
  for (const Filter& f : weights.filters()) {
    EXPECT_EQ(weights.as_read(f.before), weights.rounded_masters(f));
    EXPECT_NE(weights.as_read(f.before), weights.as_read(f.after));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Updates, Weights,
    ::testing::Combine(::testing::Range<std::size_t>(0, updates().size()),
                       ::testing::ValuesIn(backends_under_test()[0].activations)),
    [](const auto& suite) {
      return updates()[std::get<0>(suite.param)].name + "_" +
             std::string(name_of(std::get<1>(suite.param)));
    });

}  // namespace
}  // namespace simclr::testing
