// Optimizers: LARS on numbers worked out by hand, SGD and AdamW against PyTorch over several steps.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <string>

#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/optim/optimizer.hpp"

namespace simclr {
namespace {

const std::vector<float> kWeights{3, 4, 0.5F, -2, 1.25F};
const std::vector<float> kGradients{0.6F, 0.8F, -1, 0.25F, 2};

/// Three regularized weights "w" and two others "b" (biases).
struct Training {
  explicit Training(const OptimizerSpec& spec) : backend(make_cpu_backend(1)) {
    Recorder r;
    r.parameter("w", {2}, {}, true);
    r.parameter("b", {3}, {}, false);
    for (const Parameter& p : r.parameters()) (void)r.parameter_gradient(p.value);
    Program program = r.finish(
        [&](Recorder& recorder) { record_update(recorder, spec, record_control(recorder)); });
    const auto elements = static_cast<std::size_t>(program.parameter_elements);
    for (const Parameter& p : program.parameters) offsets.push_back(program.info(p.value).offset);
    executor = std::make_unique<Executor>(std::move(program), *backend, Communicators{});
    for (const Storage s : {Storage::momentum, Storage::second_moment}) {
      if (s == Storage::momentum || spec.kind == OptimizerKind::adamw) {
        executor->set_flat(s, std::vector<float>(elements));
      }
    }
    executor->set_flat(Storage::parameters, laid_out(kWeights, elements));
  }

  [[nodiscard]] std::vector<float> laid_out(const std::vector<float>& values,
                                            std::size_t elements) const {
    std::vector<float> flat(elements);
    for (std::size_t i = 0; i < values.size(); ++i) flat[index(i)] = values[i];
    return flat;
  }
  [[nodiscard]] std::size_t index(std::size_t i) const {
    return static_cast<std::size_t>(i < 2 ? offsets[0] : offsets[1] - 2) + i;
  }
  void step(float learning_rate, const OptimizerSpec& spec, std::int64_t step_index, float scale) {
    std::vector<float> gradients = kGradients;
    for (float& g : gradients) g *= scale;
    executor->set_flat(Storage::gradients,
                       laid_out(gradients, executor->flat(Storage::parameters).size()));
    auto control =
        Schedule{.peak = 1, .warmup_steps = 0, .total_steps = 100}.control(step_index, spec);
    control[0] = learning_rate;
    executor->upload(executor->program().at("control"),
                     const_buffer_span(std::span<const float>(control)));
    executor->run_update();
  }
  [[nodiscard]] std::vector<float> weights() const {
    const std::vector<float> flat = executor->flat(Storage::parameters);
    std::vector<float> values;
    for (std::size_t i = 0; i < kWeights.size(); ++i) values.push_back(flat[index(i)]);
    return values;
  }

  std::unique_ptr<Backend> backend;
  std::unique_ptr<Executor> executor;
  std::vector<std::int64_t> offsets;
};

// |w| = 5, |g| = 1, no decay: trust = 0.001 * 5. Two steps with momentum 0.9:
// v1 = 2 * 0.005 * g; w1 = w - v1; v2 = 0.9 v1 + 2 * 0.001 * |w1| * g, |w1| = 5 - 0.01.
// Biases: trust 1.
TEST(Lars, EqualsHandWorkedNumbers) {
  const OptimizerSpec spec{.kind = OptimizerKind::lars, .momentum = 0.9F, .weight_decay = 0};
  Training training(spec);
  training.step(2, spec, 0, 1);
  const std::vector<float> first = training.weights();
  EXPECT_NEAR(first[0], 3 - 0.01 * 0.6, 1e-6);
  EXPECT_NEAR(first[1], 4 - 0.01 * 0.8, 1e-6);
  EXPECT_NEAR(first[2], 0.5 + 2, 1e-6);
  EXPECT_NEAR(first[4], 1.25 - 4, 1e-6);
  training.step(2, spec, 1, 1);
  const double second_velocity = 0.9 * 0.01 + 2 * 0.001 * 4.99;
  EXPECT_NEAR(training.weights()[0], 3 - (0.01 + second_velocity) * 0.6, 1e-6);
  EXPECT_NEAR(training.weights()[2], 0.5 + 2 + 0.9 * 2 + 2, 2e-6);
}

// Decay 0.5: g + 0.5 w = (2.1, 2.8), norm 3.5, trust = 0.001 * 5 / 3.5.
TEST(Lars, DecaysWeightsButNotBiases) {
  const OptimizerSpec spec{.kind = OptimizerKind::lars, .momentum = 0.9F, .weight_decay = 0.5F};
  Training training(spec);
  training.step(1, spec, 0, 1);
  EXPECT_NEAR(training.weights()[0], 3 - 0.005 / 3.5 * 2.1, 1e-6);
  EXPECT_NEAR(training.weights()[1], 4 - 0.005 / 3.5 * 2.8, 1e-6);
  EXPECT_NEAR(training.weights()[3], -2 - 0.25, 1e-6);
}

/// The weights after three steps of torch.optim.`optimizer` with decay on the first two only.
std::vector<float> torch_weights(const std::string& optimizer) {
  const std::string program =
      "import torch\n"
      "w = torch.tensor([3., 4.], requires_grad=True)\n"
      "b = torch.tensor([0.5, -2., 1.25], requires_grad=True)\n"
      "o = torch.optim." +
      optimizer +
      "\n"
      "for scale in (1, -0.5, 2):\n"
      "  w.grad = scale * torch.tensor([0.6, 0.8])\n"
      "  b.grad = scale * torch.tensor([-1., 0.25, 2.])\n"
      "  o.step()\n"
      "print(*w.tolist(), *b.tolist())\n";
  const std::string command = std::string(SIMCLR_PYTHON) + " -c '" + program + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::vector<float> weights;
  float value = 0;
  while (pipe && std::fscanf(pipe.get(), "%f", &value) == 1) weights.push_back(value);
  return weights;
}

void expect_as_torch(const OptimizerSpec& spec, float learning_rate, const std::string& torch) {
  Training training(spec);
  std::int64_t step = 0;
  for (const float scale : {1.0F, -0.5F, 2.0F}) training.step(learning_rate, spec, step++, scale);
  const std::vector<float> wanted = torch_weights(torch);
  ASSERT_EQ(wanted.size(), kWeights.size()) << "PyTorch ran";
  const std::vector<float> got = training.weights();
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_LE(std::abs(got[i] - wanted[i]), 2e-6F) << i;
    EXPECT_GT(std::abs(got[i] - kWeights[i]), 1e-3F) << i;
  }
}

TEST(OptimizerOracle, SgdEqualsTorch) {
  expect_as_torch({.kind = OptimizerKind::sgd, .momentum = 0.9F, .weight_decay = 0.1F}, 0.2F,
                  "SGD([dict(params=[w], weight_decay=0.1), dict(params=[b])], "
                  "lr=0.2, momentum=0.9)");
}

TEST(OptimizerOracle, NesterovEqualsTorch) {
  expect_as_torch(
      {.kind = OptimizerKind::sgd, .momentum = 0.9F, .weight_decay = 0.1F, .nesterov = true}, 0.2F,
      "SGD([dict(params=[w], weight_decay=0.1), dict(params=[b])], "
      "lr=0.2, momentum=0.9, nesterov=True)");
}

TEST(OptimizerOracle, AdamwEqualsTorch) {
  expect_as_torch(
      {.kind = OptimizerKind::adamw, .momentum = 0.9F, .weight_decay = 0.1F, .beta2 = 0.99F}, 0.05F,
      "AdamW([dict(params=[w], weight_decay=0.1), "
      "dict(params=[b], weight_decay=0)], lr=0.05, betas=(0.9, 0.99))");
}

}  // namespace
}  // namespace simclr
