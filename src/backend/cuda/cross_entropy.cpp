// Softmax cross-entropy of a classifier, with top-1 and top-5 counts.

#include "kernels/cross_entropy.hpp"

#include "kernels/sum_terms.hpp"
#include "steps.hpp"

namespace simclr::cuda {

namespace {

constexpr int kTerms = 4;

}  // namespace

Prepared prepare(const SoftmaxCrossEntropy& op, const Context& context) {
  const TensorView logits = context.tensor(op.logits);
  CrossEntropy operands{.logits = logits.as<float>(),
                        .labels = context.tensor(op.labels).as<std::int32_t>(),
                        .dlogits = context.values<float>(op.dlogits),
                        .rows = logits.layout.rows(),
                        .classes = static_cast<int>(logits.layout.channels),
                        .stride = static_cast<int>(logits.layout.stride),
                        .gradient_scale = op.gradient_scale};
  const std::size_t terms_bytes = static_cast<std::size_t>(operands.rows) * kTerms * sizeof(double);
  return make_step(terms_bytes, [=, sums = context.tensor(op.sums).as<double>(),
                                 stream = context.stream()](Workspace workspace) mutable {
    operands.terms = reinterpret_cast<double*>(workspace.data());
    softmax_cross_entropy(operands, stream);
    sum_terms(operands.terms, operands.rows, kTerms, sums, stream);
  });
}

}  // namespace simclr::cuda
