// A backend against the references, op by op through a whole training step: both sides see the same
// inputs at every op, so an error is its own op's and nothing that came before.

#include <gtest/gtest.h>
#include "simclr/backend/registry.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "reference/run.hpp"
#include "step.hpp"

namespace simclr {
namespace {

class Lockstep {
 public:
  explicit Lockstep(const PretrainingSpec& spec)
      : backend_(make_cpu_backend(1)),
        executor_(record_pretraining(spec), *backend_, {}),
        memory_(executor_.program()) {
    test::set_state(executor_);
    const Program& program = executor_.program();
    for (std::size_t t = 0; t < program.tensors.size(); ++t) {
      if (program.tensors[t].storage != Storage::arena) copy_from_backend(id(t));
    }
  }

  /// The worst relative difference of any op's outputs: rms of the difference over rms of the
  /// value.
  void run(double tolerance) {
    const Program& program = executor_.program();
    for (std::size_t op = 0; op < program.ops.size(); ++op) {
      executor_.run(op, op + 1);
      reference::run(program.ops[op], memory_);
      for (const TensorId written : access(program.ops[op]).writes) {
        if (program.info(written).dtype == DType::u8) {
          compare_indices(op, written);
        } else {
          const double error = relative_error(written);
          EXPECT_TRUE(error <= tolerance)
              << describe(program, op) << " '" << program.info(written).name << "': " << error;
        }
        copy_from_backend(written);
      }
    }
  }

 private:
  static TensorId id(std::size_t index) { return {static_cast<std::int32_t>(index)}; }

  [[nodiscard]] std::vector<double> on_backend(TensorId tensor) const {
    const TensorInfo& info = executor_.program().info(tensor);
    const auto count = static_cast<std::size_t>(info.shape.elements());
    if (info.dtype == DType::f64) {
      std::vector<double> values(count, std::numeric_limits<double>::quiet_NaN());
      executor_.download(tensor, buffer_span(std::span(values)));
      return values;
    }
    if (info.dtype == DType::u8) {
      std::vector<std::uint8_t> values(count);
      executor_.download(tensor, buffer_span(std::span(values)));
      return {values.begin(), values.end()};
    }
    const std::vector<float> values = executor_.values(tensor);
    return {values.begin(), values.end()};
  }

  void copy_from_backend(TensorId tensor) {
    const std::vector<double> values = on_backend(tensor);
    std::copy(values.begin(), values.end(), memory_[tensor].flat().begin());
  }

  double relative_error(TensorId tensor) {
    const std::vector<double> got = on_backend(tensor);
    const auto wanted = memory_[tensor].flat();
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      difference += (got[i] - wanted[i]) * (got[i] - wanted[i]);
      size += wanted[i] * wanted[i];
    }
    return std::sqrt(difference / std::max(size, 1e-30));
  }

  void compare_indices(std::size_t op, TensorId tensor) {
    const std::vector<double> got = on_backend(tensor);
    const auto wanted = memory_[tensor].flat();
    EXPECT_TRUE(std::equal(got.begin(), got.end(), wanted.begin()))
        << describe(executor_.program(), op);
  }

  std::unique_ptr<Backend> backend_;
  Executor executor_;
  reference::Memory<double> memory_;
};

PretrainingSpec bottleneck() {
  PretrainingSpec spec = test::small_spec();
  spec.encoder = {.depth = 50, .width = 0.125, .stem = Stem::imagenet};
  spec.head.layers = 3;
  spec.local_samples = 2;
  spec.image_size = 33;
  return spec;
}

TEST(Lockstep, BasicBlocksInFloat) { Lockstep(test::small_spec()).run(1e-5); }

TEST(Lockstep, BottlenecksInFloat) { Lockstep(bottleneck()).run(1e-5); }

TEST(Lockstep, RecomputedBlocksAndGroupsInFloat) {
  PretrainingSpec spec = test::small_spec();
  spec.recompute_blocks = true;
  spec.batch_norm.groups_per_rank = 2;
  Lockstep(spec).run(1e-5);
}

TEST(Lockstep, BottlenecksInBf16) {
  if (!cpu_has_native_bf16()) GTEST_SKIP() << "this CPU has no native bf16 arithmetic";
  PretrainingSpec spec = bottleneck();
  spec.activations = DType::bf16;
  Lockstep(spec).run(1e-2);
}

}  // namespace
}  // namespace simclr
