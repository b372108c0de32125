// A linear classifier that learns beside the encoder: what it learns, and what it leaves alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "on_backend.hpp"
#include "step.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kClasses = 5;
constexpr int kSteps = 4;
constexpr float kProbeRate = 0.7F;
/// The labels of a step's samples; -1: no label.
using Labels = std::vector<std::int32_t>;

PretrainingSpec spec_of(std::int64_t classes) {
  PretrainingSpec spec = test::small_spec();
  spec.probe_classes = classes;
  return spec;
}

struct Trained {
  /// The values of parameters, momentum and running statistics, by name.
  std::map<std::string, std::vector<float>> tensors;
  std::vector<std::vector<float>> h;      ///< of every step
  std::vector<std::vector<double>> sums;  ///< of the probe in every step
};

Trained train(Backend& backend, const PretrainingSpec& spec, const std::vector<Labels>& labels) {
  Program program = record_pretraining(spec);
  ExecutorOptions options{.keep = {program.at("h")}, .poison_arena = true};
  Executor executor(std::move(program), backend, {}, options);
  const Program& p = executor.program();
  // The same values by name, whatever else the program has.
  for (const Parameter& parameter : p.parameters) {
    executor.write_flat(Storage::parameters, p.info(parameter.value).offset,
                        initial_values(p, parameter, 5));
  }
  executor.set_flat(Storage::running, initial_running_statistics(p));
  Trained trained;
  for (int step = 0; step < kSteps; ++step) {
    const auto views =
        test::fixed_views(p.info(p.at("views")).shape.elements(), static_cast<std::uint32_t>(step));
    executor.upload(p.at("views"), const_buffer_span(std::span<const float>(views)));
    std::vector<float> control{0.1F, 1, 1, 1};
    if (spec.probe_classes > 0) {
      control.insert(control.end(), {kProbeRate, 1, 1, 1});
      const Labels& of_step = labels.at(static_cast<std::size_t>(step));
      executor.upload(p.at("labels"), const_buffer_span(std::span<const std::int32_t>(of_step)));
    }
    executor.upload(p.at("control"), const_buffer_span(std::span<const float>(control)));
    executor.run_all();
    executor.wait();
    trained.h.push_back(executor.values(p.at("h")));
    if (spec.probe_classes == 0) continue;
    std::vector<double> sums(4);
    executor.download(p.at("probe_sums"), buffer_span(std::span(sums)));
    trained.sums.push_back(sums);
  }
  const auto add = [&](const auto& tensors, Storage storage, const std::string& kind) {
    for (const auto& tensor : tensors) {
      const TensorInfo& info = p.info(tensor.value);
      std::vector<float> values(static_cast<std::size_t>(info.shape.elements()));
      executor.read_flat(storage, info.offset, values);
      trained.tensors[kind + tensor.name] = values;
    }
  };
  add(p.parameters, Storage::parameters, "parameter ");
  add(p.parameters, Storage::momentum, "momentum ");
  add(p.running, Storage::running, "running ");
  return trained;
}

std::vector<Labels> some_labels() {
  return {{0, 3, -1, 4}, {2, 2, 1, 0}, {-1, -1, -1, -1}, {4, -1, 1, 3}};
}

/// SGD with Nesterov's momentum on the mean cross-entropy of the labeled views, in double.
struct Replay {
  std::vector<double> w, v;  // (K, C) and then the bias (K)
  std::vector<double> losses;

  Replay(const Trained& trained, const std::vector<Labels>& labels) {
    const auto samples = labels[0].size();
    const std::size_t views = 2 * samples;
    const std::size_t channels = trained.h[0].size() / views;
    w.assign(kClasses * (channels + 1), 0);
    v = w;
    for (std::size_t step = 0; step < trained.h.size(); ++step) {
      std::vector<double> g(w.size(), 0);
      double count = 0, loss = 0;
      for (std::size_t view = 0; view < views; ++view) {
        const std::int32_t label = labels[step][view % samples];
        if (label < 0) continue;
        ++count;
        const float* h = trained.h[step].data() + view * channels;
        std::vector<double> p(kClasses);
        double sum = 0;
        for (std::size_t k = 0; k < p.size(); ++k) {
          p[k] = w[kClasses * channels + k];
          for (std::size_t c = 0; c < channels; ++c) p[k] += w[k * channels + c] * double{h[c]};
          sum += std::exp(p[k]);
        }
        loss += std::log(sum) - p[static_cast<std::size_t>(label)];
        for (std::size_t k = 0; k < p.size(); ++k) {
          const double of_logit =
              std::exp(p[k]) / sum - (static_cast<std::int32_t>(k) == label ? 1 : 0);
          for (std::size_t c = 0; c < channels; ++c) g[k * channels + c] += of_logit * double{h[c]};
          g[kClasses * channels + k] += of_logit;
        }
      }
      losses.push_back(loss);
      for (std::size_t i = 0; i < w.size(); ++i) {
        const double gradient = g[i] / std::max(count, 1.0);
        v[i] = 0.9 * v[i] + gradient;
        w[i] -= kProbeRate * (gradient + 0.9 * v[i]);
      }
    }
  }
};

class ProbeTest : public test::OnBackend {};

TEST_F(ProbeTest, LearnsWhatAReplayLearnsFromTheSameFeatures) {
  const Trained trained = train(backend(), spec_of(kClasses), some_labels());
  const Replay replay(trained, some_labels());
  std::vector<float> learned = trained.tensors.at("parameter probe.weight");
  const auto& bias = trained.tensors.at("parameter probe.bias");
  learned.insert(learned.end(), bias.begin(), bias.end());
  ASSERT_EQ(learned.size(), replay.w.size());
  double largest = 0;
  for (const double w : replay.w) largest = std::max(largest, std::abs(w));
  ASSERT_GT(largest, 0.01);
  for (std::size_t i = 0; i < learned.size(); ++i) {
    EXPECT_LE(std::abs(double{learned[i]} - replay.w[i]), 1e-5 * largest) << i;
  }
  for (std::size_t step = 0; step < trained.sums.size(); ++step) {
    const double views = 2.0 * static_cast<double>(std::ranges::count_if(
                                   some_labels()[step], [](std::int32_t l) { return l >= 0; }));
    EXPECT_EQ(trained.sums[step][3], views);
    EXPECT_LE(std::abs(trained.sums[step][0] - replay.losses[step]), 1e-5 * (1 + views));
  }
}

TEST_F(ProbeTest, LeavesEveryBitOfTheModelAlone) {
  const Trained plain = train(backend(), spec_of(0), {});
  std::vector<Labels> wrong = some_labels();
  std::ranges::reverse(wrong);
  const Trained probed = train(backend(), spec_of(kClasses), some_labels());
  const Trained misled = train(backend(), spec_of(kClasses), wrong);
  ASSERT_GT(plain.tensors.size(), 100U);
  for (const auto& [name, values] : plain.tensors) {
    EXPECT_EQ(probed.tensors.at(name), values) << name;
    EXPECT_EQ(misled.tensors.at(name), values) << name;
  }
  EXPECT_EQ(probed.tensors.size(), plain.tensors.size() + 4);
  EXPECT_NE(probed.tensors.at("parameter probe.weight"),
            misled.tensors.at("parameter probe.weight"));
}

}  // namespace
}  // namespace simclr
