// Verbs without kernels yet.

#include "communication.hpp"
#include "steps.hpp"

namespace simclr::cuda {

StepPointer prepare_step(const MatMul&, const StepContext&) {
  fail("MatMul has no CUDA kernel yet");
}
StepPointer prepare_step(const MatMulBackwardData&, const StepContext&) {
  fail("MatMulBackwardData has no CUDA kernel yet");
}
StepPointer prepare_step(const MatMulBackwardWeights&, const StepContext&) {
  fail("MatMulBackwardWeights has no CUDA kernel yet");
}
StepPointer prepare_step(const L2Normalize&, const StepContext&) {
  fail("L2Normalize has no CUDA kernel yet");
}
StepPointer prepare_step(const L2NormalizeBackward&, const StepContext&) {
  fail("L2NormalizeBackward has no CUDA kernel yet");
}
StepPointer prepare_step(const NtXentForward&, const StepContext&) {
  fail("NtXentForward has no CUDA kernel yet");
}
StepPointer prepare_step(const NtXentBackward&, const StepContext&) {
  fail("NtXentBackward has no CUDA kernel yet");
}
StepPointer prepare_step(const SoftmaxCrossEntropy&, const StepContext&) {
  fail("SoftmaxCrossEntropy has no CUDA kernel yet");
}
StepPointer prepare_step(const AllReduce&, const StepContext&) {
  fail("AllReduce has no CUDA kernel yet");
}
StepPointer prepare_step(const AllGather&, const StepContext&) {
  fail("AllGather has no CUDA kernel yet");
}
StepPointer prepare_step(const ReduceGradients&, const StepContext&) {
  fail("ReduceGradients has no CUDA kernel yet");
}
StepPointer prepare_step(const WaitForGradients&, const StepContext&) {
  fail("WaitForGradients has no CUDA kernel yet");
}

std::size_t workspace_of(const MatMul&, const SizingContext&) { return 0; }
std::size_t workspace_of(const MatMulBackwardData&, const SizingContext&) { return 0; }
std::size_t workspace_of(const MatMulBackwardWeights&, const SizingContext&) { return 0; }
std::size_t workspace_of(const NtXentForward&, const SizingContext&) { return 0; }
std::size_t workspace_of(const NtXentBackward&, const SizingContext&) { return 0; }
std::size_t workspace_of(const SoftmaxCrossEntropy&, const SizingContext&) { return 0; }

std::unique_ptr<Communicator> make_communicator(Communicator&, Lane, Device&) {
  fail("no communicator yet");
}

}  // namespace simclr::cuda
