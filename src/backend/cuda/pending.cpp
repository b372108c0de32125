// Verbs without kernels yet.

#include "communication.hpp"
#include "input_stage.hpp"
#include "kernels/finite.hpp"
#include "steps.hpp"

namespace simclr::cuda {

StepPointer prepare_step(const PackInput&, const StepContext&) {
  fail("PackInput has no CUDA kernel yet");
}
StepPointer prepare_step(const ConvForward&, const StepContext&) {
  fail("ConvForward has no CUDA kernel yet");
}
StepPointer prepare_step(const ConvBackwardData&, const StepContext&) {
  fail("ConvBackwardData has no CUDA kernel yet");
}
StepPointer prepare_step(const ConvBackwardWeights&, const StepContext&) {
  fail("ConvBackwardWeights has no CUDA kernel yet");
}
StepPointer prepare_step(const BnStatistics&, const StepContext&) {
  fail("BnStatistics has no CUDA kernel yet");
}
StepPointer prepare_step(const BnFinalize&, const StepContext&) {
  fail("BnFinalize has no CUDA kernel yet");
}
StepPointer prepare_step(const BnInference&, const StepContext&) {
  fail("BnInference has no CUDA kernel yet");
}
StepPointer prepare_step(const BnApply&, const StepContext&) {
  fail("BnApply has no CUDA kernel yet");
}
StepPointer prepare_step(const BnBackwardReduce&, const StepContext&) {
  fail("BnBackwardReduce has no CUDA kernel yet");
}
StepPointer prepare_step(const BnBackwardApply&, const StepContext&) {
  fail("BnBackwardApply has no CUDA kernel yet");
}
StepPointer prepare_step(const MaxPool&, const StepContext&) {
  fail("MaxPool has no CUDA kernel yet");
}
StepPointer prepare_step(const MaxPoolBackward&, const StepContext&) {
  fail("MaxPoolBackward has no CUDA kernel yet");
}
StepPointer prepare_step(const GlobalAvgPool&, const StepContext&) {
  fail("GlobalAvgPool has no CUDA kernel yet");
}
StepPointer prepare_step(const GlobalAvgPoolBackward&, const StepContext&) {
  fail("GlobalAvgPoolBackward has no CUDA kernel yet");
}
StepPointer prepare_step(const AddInto&, const StepContext&) {
  fail("AddInto has no CUDA kernel yet");
}
StepPointer prepare_step(const MatMul&, const StepContext&) {
  fail("MatMul has no CUDA kernel yet");
}
StepPointer prepare_step(const MatMulBackwardData&, const StepContext&) {
  fail("MatMulBackwardData has no CUDA kernel yet");
}
StepPointer prepare_step(const MatMulBackwardWeights&, const StepContext&) {
  fail("MatMulBackwardWeights has no CUDA kernel yet");
}
StepPointer prepare_step(const Relu&, const StepContext&) { fail("Relu has no CUDA kernel yet"); }
StepPointer prepare_step(const ReluBackward&, const StepContext&) {
  fail("ReluBackward has no CUDA kernel yet");
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
StepPointer prepare_step(const CheckFinite&, const StepContext&) {
  fail("CheckFinite has no CUDA kernel yet");
}
StepPointer prepare_step(const LarsUpdate&, const StepContext&) {
  fail("LarsUpdate has no CUDA kernel yet");
}
StepPointer prepare_step(const SgdUpdate&, const StepContext&) {
  fail("SgdUpdate has no CUDA kernel yet");
}
StepPointer prepare_step(const AdamwUpdate&, const StepContext&) {
  fail("AdamwUpdate has no CUDA kernel yet");
}

std::size_t workspace_of(const ConvForward&, const SizingContext&) { return 0; }
std::size_t workspace_of(const ConvBackwardData&, const SizingContext&) { return 0; }
std::size_t workspace_of(const ConvBackwardWeights&, const SizingContext&) { return 0; }
std::size_t workspace_of(const BnStatistics&, const SizingContext&) { return 0; }
std::size_t workspace_of(const BnBackwardReduce&, const SizingContext&) { return 0; }
std::size_t workspace_of(const MatMul&, const SizingContext&) { return 0; }
std::size_t workspace_of(const MatMulBackwardData&, const SizingContext&) { return 0; }
std::size_t workspace_of(const MatMulBackwardWeights&, const SizingContext&) { return 0; }
std::size_t workspace_of(const CheckFinite&, const SizingContext&) { return 0; }
std::size_t workspace_of(const LarsUpdate&, const SizingContext&) { return 0; }

std::unique_ptr<InputStage> make_input_stage(const InputStageSpec&, Device&) {
  fail("no input stage yet");
}
std::unique_ptr<Communicator> make_communicator(Communicator&, Lane, Device&) {
  fail("no communicator yet");
}
bool all_finite(const float*, std::size_t, cudaStream_t) { fail("all_finite has no kernel yet"); }

}  // namespace simclr::cuda
