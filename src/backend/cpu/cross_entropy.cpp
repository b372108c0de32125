// Softmax cross-entropy of a classifier, with top-1 and top-5 counts.

#include <cmath>

#include "kernels/table.hpp"
#include "steps.hpp"

namespace simclr::cpu {

namespace {

/// What a row adds to the sums.
struct RowTerms {
  double loss = 0, top1 = 0, top5 = 0, samples = 0;
};

struct Operands {
  const float* logits = nullptr;
  const std::int32_t* labels = nullptr;
  std::int64_t labels_count = 0;
  float* dlogits = nullptr;  // or null
  std::int64_t classes = 0, stride = 0;
  float gradient_scale = 1;
};

float largest_logit(const float* logits, std::int64_t classes) {
  float largest = logits[0];
  for (std::int64_t k = 1; k < classes; ++k) largest = logits[k] > largest ? logits[k] : largest;
  return largest;
}

// How many classes come before the label: larger logits, or equal ones with a smaller index (as
// argmax decides); NaN comes before everything.
std::int64_t place_of(const float* logits, std::int64_t classes, std::int64_t label) {
  std::int64_t before = 0;
  for (std::int64_t k = 0; k < classes; ++k) {
    const bool behind = logits[k] < logits[label] || (logits[k] == logits[label] && k >= label);
    before += behind ? 0 : 1;
  }
  return before;
}

// `exponential` (stride) is scratch, or the row of dlogits itself.
RowTerms run_row(const Operands& o, std::int64_t row, float* exponential) {
  const std::int64_t label = o.labels[row % o.labels_count];
  if (label < 0) {
    std::fill_n(exponential, o.stride, 0.0F);
    return {};
  }
  const float* logits = o.logits + row * o.stride;
  const float largest = largest_logit(logits, o.classes);
  const double sum = kernels::table().loss.exp_row(logits, o.classes, largest, exponential);
  const double loss = std::log(sum) - (double{logits[label]} - double{largest});
  if (o.dlogits != nullptr) {
    const auto factor = static_cast<float>(o.gradient_scale / sum);
    for (std::int64_t k = 0; k < o.classes; ++k) exponential[k] *= factor;
    exponential[label] -= o.gradient_scale;
    std::fill_n(exponential + o.classes, o.stride - o.classes, 0.0F);
  }
  const std::int64_t place = place_of(logits, o.classes, label);
  return {.loss = loss, .top1 = place < 1 ? 1.0 : 0.0, .top5 = place < 5 ? 1.0 : 0.0, .samples = 1};
}

}  // namespace

Prepared prepare(const SoftmaxCrossEntropy& op, const Context& context) {
  const TensorView logits = context.tensor(op.logits);
  require_blocked(logits);
  const std::int64_t rows = logits.layout.images;
  const Operands operands{.logits = logits.as<float>(),
                          .labels = context.tensor(op.labels).as<std::int32_t>(),
                          .labels_count = context.info(op.labels).shape.elements(),
                          .dlogits = context.values<float>(op.dlogits),
                          .classes = logits.layout.channels,
                          .stride = logits.layout.padded_channels(),
                          .gradient_scale = op.gradient_scale};
  require(rows % operands.labels_count == 0, "every view of a sample has its label");
  auto* sums = context.tensor(op.sums).as<double>();
  // One row of terms and, for evaluation, one row of exponentials for each sample.
  const std::size_t workspace_bytes = static_cast<std::size_t>(rows) * sizeof(RowTerms) +
                                      (op.dlogits ? 0 : logits.layout.stored_bytes());
  return make_step(workspace_bytes, [=, threads = context.threads](Workspace workspace) {
    auto* terms = reinterpret_cast<RowTerms*>(workspace.data());
    auto* scratch =
        operands.dlogits != nullptr ? operands.dlogits : reinterpret_cast<float*>(terms + rows);
    for_each_index(rows, threads, [&](std::int64_t row) {
      terms[row] = run_row(operands, row, scratch + row * operands.stride);
    });
    RowTerms total;
    for (std::int64_t row = 0; row < rows; ++row) {
      total.loss += terms[row].loss;
      total.top1 += terms[row].top1;
      total.top5 += terms[row].top5;
      total.samples += terms[row].samples;
    }
    sums[0] = total.loss;
    sums[1] = total.top1;
    sums[2] = total.top5;
    sums[3] = total.samples;
  });
}

}  // namespace simclr::cpu
