// Convolutions where the library offers less than we would like.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {
namespace {

/// What the emulated library has, while one lives.
class LibraryHas {
 public:
  explicit LibraryHas(const char* plans) { setenv("SIMCLR_EMULATED_PLANS", plans, 1); }
  LibraryHas(const LibraryHas&) = delete;
  LibraryHas& operator=(const LibraryHas&) = delete;
  ~LibraryHas() { unsetenv("SIMCLR_EMULATED_PLANS"); }
};

/// -1, 0 and 1: products and their sums are exact in every type.
std::vector<float> small_numbers(const TensorInfo& tensor, std::size_t seed) {
  std::vector<float> values(static_cast<std::size_t>(tensor.shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((i * 37 + i / 11 + seed) % 3) - 1;
  }
  return values;
}

/// dw of a 3x3 convolution, `in` to `out` channels.
std::vector<float> weight_gradient(DType dtype, std::int64_t in, std::int64_t out) {
  const auto backend = make_cuda_backend({.share_device = true});
  Recorder r;
  const TensorId x = r.named("x", {2, 3, 3, in}, dtype, Storage::input);
  const TensorId dy = r.named("dy", {2, 3, 3, out}, dtype, Storage::input);
  const TensorId w = r.parameter("w", {out, 3, 3, in}, {}, true);
  const TensorId dw = r.parameter_gradient(w);
  r.emit(ConvBackwardWeights{
      .x = x, .dy = dy, .dw = dw, .geometry = {.kernel = 3, .stride = 1, .padding = 1}});
  Executor executor(r.finish(), *backend, Communicators{});
  for (const TensorId id : {x, dy}) {
    const auto values =
        small_numbers(executor.program().info(id), static_cast<std::size_t>(id.value));
    executor.upload(id, const_buffer_span(std::span<const float>(values)));
  }
  executor.run(0, 1);
  return executor.flat(Storage::gradients);
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

}  // namespace
}  // namespace simclr
