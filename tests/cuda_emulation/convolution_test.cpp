// Convolutions where the library offers less than we would like, or several ways.

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>

#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/program/recorder.hpp"
#include "told.hpp"

namespace simclr {
namespace {

/// Beside one in f32, which takes a millisecond.
struct NarrowGradientTakes : Told {
  explicit NarrowGradientTakes(const char* milliseconds)
      : Told("SIMCLR_EMULATED_NARROW_GRADIENT_MS", milliseconds) {}
};

/// -1, 0 and 1: products and their sums are exact in every type.
std::vector<float> small_numbers(const TensorInfo& tensor, std::size_t seed) {
  std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((i * 37 + i / 11 + seed) % 3) - 1;
  }
  return values;
}

/// A third of that, and of 4: sums of their products need more than 16 bits.
std::vector<float> uneven_numbers(const TensorInfo& tensor, std::size_t seed) {
  std::vector<float> values = small_numbers(tensor, seed);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 2 == 0 ? values[i] / 3 : 4.0F / 3;
  return values;
}

using Numbers = std::vector<float> (*)(const TensorInfo&, std::size_t);

/// dw of a 3x3 convolution, `in` to `out` channels.
std::vector<float> weight_gradient(Backend& backend, DType dtype, std::int64_t in, std::int64_t out,
                                   Numbers numbers = small_numbers) {
  Recorder r;
  const TensorId x = r.named("x", {2, 3, 3, in}, dtype, Storage::input);
  const TensorId dy = r.named("dy", {2, 3, 3, out}, dtype, Storage::input);
  const TensorId w = r.parameter("w", {out, 3, 3, in}, {}, true);
  const TensorId dw = r.parameter_gradient(w);
  r.emit(ConvBackwardWeights{
      .x = x, .dy = dy, .dw = dw, .geometry = {.kernel = 3, .stride = 1, .padding = 1}});
  Executor executor(r.finish(), backend, Communicators{});
  for (const TensorId id : {x, dy}) {
    const auto values = numbers(executor.program().info(id), static_cast<std::size_t>(id.value));
    executor.upload(id, const_buffer_span(std::span<const float>(values)));
  }
  executor.run(0, 1);
  return executor.flat(Storage::gradients);
}
std::vector<float> weight_gradient(DType dtype, std::int64_t in, std::int64_t out) {
  return weight_gradient(*make_cuda_backend({.share_device = true}), dtype, in, out);
}

const std::string kShape =
    "backward_weights bf16 2x3x3x16 -> 3x3x8, 3x3 stride 1 padding 1, dw ";  // f32 or bf16
const Plans kInF32{{kShape + "f32", "loops"}};
const Plans kIn16Bits{{kShape + "f32", "dw in 16 bits is faster"}, {kShape + "bf16", "loops"}};

/// A process that trains: its plans and its bits.
struct Training {
  Plans plans;
  std::vector<float> gradient;
};
Training train(const Plans& of_the_run = {}, const std::filesystem::path& plan_cache = {}) {
  const auto backend = make_cuda_backend({.share_device = true, .plan_cache = plan_cache});
  backend->tune({}, of_the_run);
  std::vector<float> gradient = weight_gradient(*backend, DType::bf16, 16, 8, uneven_numbers);
  return {backend->info().plans, std::move(gradient)};
}

std::vector<float> rounded(std::vector<float> values) {
  for (float& value : values) value = to_float(to_bf16(value));
  return values;
}

TEST(Convolution, WidensWeightGradientsOfALibraryThatHasNoneInF32) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const auto& [in, out] : {std::pair{16, 8}, std::pair{3, 5}}) {
      const std::vector<float> wanted = weight_gradient(dtype, in, out);
      EXPECT_GT(std::ranges::count_if(wanted, [](float v) { return std::abs(v) >= 1; }), 50);
      const LibraryHas narrow("narrow_gradients");
      EXPECT_EQ(weight_gradient(dtype, in, out), wanted) << name_of(dtype) << " " << in;
    }
  }
}

TEST(Convolution, NamesTheShapeThatTheLibraryCannotDo) {
  const LibraryHas none("none");
  try {
    weight_gradient(DType::bf16, 16, 8);
    FAIL() << "there was a plan";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("bf16 2x3x3x16 -> "), std::string::npos)
        << error.what();
  }
}

TEST(Convolution, RoundsWeightGradientsWhereThatIsClearlyFaster) {
  const Training exact = train();
  EXPECT_EQ(exact.plans, kInF32);
  EXPECT_NE(exact.gradient, rounded(exact.gradient));
  {
    const NarrowGradientTakes little_less("0.96");
    EXPECT_EQ(train().plans, kInF32);
  }
  const NarrowGradientTakes less("0.94");
  const Training fast = train();
  EXPECT_EQ(fast.plans, kIn16Bits);
  EXPECT_EQ(fast.gradient, rounded(exact.gradient));
}

TEST(Convolution, TakesTheWeightGradientsOfTheRunWhateverIsFaster) {
  const Training exact = train();
  EXPECT_EQ(train(kIn16Bits).plans, kIn16Bits);
  EXPECT_EQ(train(kIn16Bits).gradient, rounded(exact.gradient));
  const NarrowGradientTakes less("0.5");
  EXPECT_EQ(train(kInF32).plans, kInF32);
  EXPECT_EQ(train(kInF32).gradient, exact.gradient);
  // Measured anew where the run's plan cannot be had.
  EXPECT_EQ(train({{kShape + "f32", "engine 7"}}).plans, kIn16Bits);
}

TEST(Convolution, KeepsTheFasterWeightGradientsInThePlanCache) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("convolution_test." + std::to_string(::getpid()));
  const auto file = folder / "plans.json";
  {
    const NarrowGradientTakes less("0.5");
    EXPECT_EQ(train({}, file).plans, kIn16Bits);
  }
  EXPECT_EQ(train({}, file).plans, kIn16Bits);
  EXPECT_EQ(train(kInF32, file).plans, kInF32) << "a run's plans come first";
  {
    const LibraryHas narrow("narrow_gradients");
    EXPECT_EQ(train({}, folder / "none.json").plans.at(kShape + "f32"), "none");
  }
  EXPECT_EQ(train({}, folder / "none.json").plans.at(kShape + "f32"), "none");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace simclr
