// Verbs without kernels yet.

#include "communication.hpp"
#include "steps.hpp"

namespace simclr::cuda {

StepPointer prepare_step(const L2Normalize&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const L2NormalizeBackward&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const NtXentForward&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const NtXentBackward&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const SoftmaxCrossEntropy&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const AllReduce&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const AllGather&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const ReduceGradients&, const StepContext&) { fail("pending"); }
StepPointer prepare_step(const WaitForGradients&, const StepContext&) { fail("pending"); }

std::size_t workspace_of(const NtXentForward&, const SizingContext&) { return 0; }
std::size_t workspace_of(const NtXentBackward&, const SizingContext&) { return 0; }
std::size_t workspace_of(const SoftmaxCrossEntropy&, const SizingContext&) { return 0; }

std::unique_ptr<Communicator> make_communicator(Communicator&, Lane, Device&) { fail("pending"); }

}  // namespace simclr::cuda
