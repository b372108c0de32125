// Verbs without kernels yet.

#include "steps.hpp"

namespace simclr::cuda {

StepPointer prepare_step(const L2Normalize&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const L2NormalizeBackward&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const NtXentForward&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const NtXentBackward&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const SoftmaxCrossEntropy&, const StepContext&) { fail("pending"); }

std::size_t workspace_of(const NtXentForward&, const SizingContext&) { return 0; }
std::size_t workspace_of(const NtXentBackward&, const SizingContext&) { return 0; }
std::size_t workspace_of(const SoftmaxCrossEntropy&, const SizingContext&) { return 0; }

}  // namespace simclr::cuda
