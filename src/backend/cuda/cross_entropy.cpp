// Softmax cross-entropy of a classifier, with top-1 and top-5 counts.

#include "kernels/cross_entropy.hpp"

#include "kernels/sum_terms.hpp"
#include "steps.hpp"

namespace simclr::cuda {

namespace {

constexpr int kTerms = 4;

}  // namespace

std::size_t workspace_of(const SoftmaxCrossEntropy& op, const SizingContext& context) {
  return static_cast<std::size_t>(context.layout(op.logits).rows()) * kTerms * sizeof(double);
}

StepPointer prepare_step(const SoftmaxCrossEntropy& op, const StepContext& context) {
  const TensorView logits = context.tensor(op.logits);
  const CrossEntropy operands{.logits = logits.as<float>(),
                              .labels = context.tensor(op.labels).as<std::int32_t>(),
                              .dlogits = context.values<float>(op.dlogits),
                              .terms = reinterpret_cast<double*>(context.workspace().data()),
                              .rows = logits.layout.rows(),
                              .classes = static_cast<int>(logits.layout.channels),
                              .stride = static_cast<int>(logits.layout.stride),
                              .gradient_scale = op.gradient_scale};
  return make_step([=, sums = context.tensor(op.sums).as<double>(), stream = context.stream()] {
    softmax_cross_entropy(operands, stream);
    sum_terms(operands.terms, operands.rows, kTerms, sums, stream);
  });
}

}  // namespace simclr::cuda
