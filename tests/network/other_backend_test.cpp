// Compares a backend with the CPU backend in fp32, op by op through a whole training step of a
// ResNet-50, for which the scalar references would take hours.

#include "lockstep.hpp"
#include "on_backend.hpp"
#include "simclr/backend/registry.hpp"

namespace simclr {
namespace {

class OtherBackendTest : public test::OnBackend {
 protected:
  void run(DType activations, double tolerance) {
    const std::string reason = test::why_skip(activations);
    if (!reason.empty()) GTEST_SKIP() << reason;
    PretrainingSpec spec;
    spec.encoder = {.depth = 50, .stem = Stem::imagenet};
    spec.local_samples = 8;
    spec.image_size = 64;
    int cpu_threads = 0;  // as many as there are cores
    if (testing::backends_under_test().front().name == "cuda_emulated") {
      spec.encoder.width = 0.125;
      spec.local_samples = 2;
      spec.image_size = 33;
      cpu_threads = 1;
    }
    test::BackendReference cpu(record_pretraining(spec), make_cpu_backend(cpu_threads));
    spec.activations = activations;
    test::Lockstep(spec, backend(), cpu).run(tolerance);
  }
};

TEST_F(OtherBackendTest, ResNet50InFloat) { run(DType::f32, 1e-4); }

TEST_F(OtherBackendTest, ResNet50InBf16) { run(DType::bf16, 1e-2); }

}  // namespace
}  // namespace simclr
