// Softmax cross-entropy of a classifier with labels and with a teacher's probabilities, with top-1
// and top-5 counts.

#include <algorithm>
#include <cmath>

#include "kernels/table.hpp"
#include "steps.hpp"

namespace simclr::cpu {

namespace {

/// What a row adds to the sums.
struct RowTerms {
  double loss = 0, top1 = 0, top5 = 0, samples = 0, agreements = 0;
};

struct Operands {
  const float* logits = nullptr;
  const std::int32_t* labels = nullptr;
  std::int64_t labels_count = 0;
  float* dlogits = nullptr;        // or null
  const float* teacher = nullptr;  // or null
  std::int64_t classes = 0, stride = 0;
  float gradient_scale = 1, temperature = 1, label_weight = 1;
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

// e[k] = exp((logits[k] - largest) / temperature); returns their sum.
double exponentials(const Operands& o, const float* logits, float largest, float* e) {
  for (std::int64_t k = 0; k < o.classes; ++k) e[k] = (logits[k] - largest) / o.temperature;
  return kernels::table().loss.exp_row(e, o.classes, 0, e);
}

// A row of distillation. Scratch: `exponential` as in run_row(); `probabilities` (2,stride).
RowTerms distill_row(const Operands& o, std::int64_t row, float* exponential,
                     float* probabilities) {
  RowTerms terms = run_row(o, row, exponential);
  const float* logits = o.logits + row * o.stride;
  const float* teacher = o.teacher + row * o.stride;
  float* own = probabilities;
  float* wanted = probabilities + o.stride;
  const float largest = largest_logit(logits, o.classes);
  const float largest_wanted = largest_logit(teacher, o.classes);
  const double sum = exponentials(o, logits, largest, own);
  const double sum_wanted = exponentials(o, teacher, largest_wanted, wanted);
  const double weight = 1 - double{o.label_weight};
  const double temperature = o.temperature;
  double expected = 0;  // mean of (logit - largest) / temperature by the teacher's probabilities
  for (std::int64_t k = 0; k < o.classes; ++k) {
    expected += double{wanted[k]} * (double{logits[k]} - double{largest});
  }
  expected /= sum_wanted * temperature;
  const double cross_entropy = std::log(sum) - expected;
  terms.loss =
      double{o.label_weight} * terms.loss + weight * temperature * temperature * cross_entropy;
  if (o.dlogits != nullptr) {
    const auto factor = static_cast<float>(weight * temperature * o.gradient_scale / sum);
    const auto factor_wanted =
        static_cast<float>(weight * temperature * o.gradient_scale / sum_wanted);
    for (std::int64_t k = 0; k < o.classes; ++k) {
      exponential[k] =
          o.label_weight * exponential[k] + (own[k] * factor - wanted[k] * factor_wanted);
    }
  }
  const std::int64_t best = std::max_element(teacher, teacher + o.classes) - teacher;
  terms.agreements = place_of(logits, o.classes, best) < 1 ? 1.0 : 0.0;
  return terms;
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
                          .teacher = context.values<float>(op.teacher),
                          .classes = logits.layout.channels,
                          .stride = logits.layout.padded_channels(),
                          .gradient_scale = op.gradient_scale,
                          .temperature = op.temperature,
                          .label_weight = op.label_weight};
  require(rows % operands.labels_count == 0, "every view of a sample has its label");
  auto* sums = context.tensor(op.sums).as<double>();
  // For each sample one row of terms; for evaluation one row of exponentials; for distillation one
  // row of the student's and one of the teacher's probabilities.
  const bool distills = op.teacher.has_value();
  const std::size_t scratch_rows = (op.dlogits ? 0 : 1) + (distills ? 2 : 0);
  const std::size_t workspace_bytes = static_cast<std::size_t>(rows) * sizeof(RowTerms) +
                                      scratch_rows * logits.layout.stored_bytes();
  return make_step(workspace_bytes, [=, threads = context.threads](Workspace workspace) {
    auto* terms = reinterpret_cast<RowTerms*>(workspace.data());
    auto* scratch = reinterpret_cast<float*>(terms + rows);
    auto* exponentials = operands.dlogits;
    if (exponentials == nullptr) {
      exponentials = scratch;
      scratch += rows * operands.stride;
    }
    for_each_index(rows, threads, [&](std::int64_t row) {
      float* exponential = exponentials + row * operands.stride;
      terms[row] =
          distills ? distill_row(operands, row, exponential, scratch + 2 * row * operands.stride)
                   : run_row(operands, row, exponential);
    });
    RowTerms total;
    for (std::int64_t row = 0; row < rows; ++row) {
      total.loss += terms[row].loss;
      total.top1 += terms[row].top1;
      total.top5 += terms[row].top5;
      total.samples += terms[row].samples;
      total.agreements += terms[row].agreements;
    }
    sums[0] = total.loss;
    sums[1] = total.top1;
    sums[2] = total.top5;
    sums[3] = total.samples;
    if (distills) sums[4] = total.agreements;
  });
}

}  // namespace simclr::cpu
