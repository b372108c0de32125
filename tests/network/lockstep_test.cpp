// Compares a backend with the references, op by op through a whole training step.

#include "lockstep.hpp"

#include "on_backend.hpp"

namespace simclr {
namespace {

constexpr double kFloatTolerance = 1e-5;
constexpr double kHalfTolerance = 1e-2;  ///< for 16-bit activations: bf16 has 8 bits of mantissa
/// Loss scale with which the gradients are normal numbers in f16.
constexpr float kLossScale = 1024;

class LockstepTest : public test::OnBackend {
 protected:
  void run(const PretrainingSpec& spec, double tolerance, float loss_scale = 1) {
    test::ScalarReference reference(record_pretraining(spec));
    test::Lockstep(spec, backend(), reference, loss_scale).run(tolerance);
  }
  void run_narrow(PretrainingSpec spec, DType activations) {
    const std::string reason = test::why_skip(activations);
    if (!reason.empty()) GTEST_SKIP() << reason;
    spec.activations = activations;
    run(spec, kHalfTolerance, activations == DType::f16 ? kLossScale : 1);
  }
};

PretrainingSpec bottleneck() {
  PretrainingSpec spec = test::small_spec();
  spec.encoder = {.depth = 50, .width = 0.125, .stem = Stem::imagenet};
  spec.head.layers = 3;
  spec.local_samples = 2;
  spec.image_size = 33;
  return spec;
}

PretrainingSpec selective_kernels() {
  PretrainingSpec spec = bottleneck();
  spec.encoder.width = 0.25;
  spec.encoder.sk_ratio = 0.0625;
  spec.image_size = 17;
  // Similarities in 16 bits, divided by it, must stay within the tolerance.
  spec.loss.temperature = 0.5F;
  return spec;
}

TEST_F(LockstepTest, BasicBlocksInFloat) { run(test::small_spec(), kFloatTolerance); }

TEST_F(LockstepTest, BottlenecksInFloat) { run(bottleneck(), kFloatTolerance); }

TEST_F(LockstepTest, RecomputedBlocksAndGroupsInFloat) {
  PretrainingSpec spec = test::small_spec();
  spec.recompute_blocks = true;
  spec.batch_norm.groups_per_rank = 2;
  run(spec, kFloatTolerance);
}

TEST_F(LockstepTest, SelectiveKernelsInFloat) { run(selective_kernels(), kFloatTolerance); }

TEST_F(LockstepTest, SelectiveKernelsInBf16) { run_narrow(selective_kernels(), DType::bf16); }

TEST_F(LockstepTest, BottlenecksInBf16) { run_narrow(bottleneck(), DType::bf16); }

TEST_F(LockstepTest, BottlenecksInF16) { run_narrow(bottleneck(), DType::f16); }

TEST_F(LockstepTest, BasicBlocksInF16) { run_narrow(test::small_spec(), DType::f16); }

}  // namespace
}  // namespace simclr
