// The features of an evaluation's data sets with what is to be learned of them.

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "simclr/data/labeled_data.hpp"
#include "simclr/eval/evaluation_job.hpp"

namespace simclr {

const std::vector<std::int64_t>& EvaluationJob::train_labels() const {
  return train_->set.labels();
}
bool EvaluationJob::multi_label() const { return train_->info.mark_columns > 0; }

std::vector<std::int64_t> EvaluationJob::rows_of_samples(const std::vector<std::int64_t>& samples,
                                                         std::int64_t rows) const {
  const std::int64_t first = first_row(*world_, rows);
  const auto own = std::span(train_->samples)
                       .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows));
  std::vector<std::int64_t> found;
  for (std::size_t row = 0; row < own.size(); ++row) {
    if (std::ranges::binary_search(samples, own[row])) {
      found.push_back(static_cast<std::int64_t>(row));
    }
  }
  return found;
}

TransferRows EvaluationJob::with_marks(LabeledFeatures features, const LabeledData& data) const {
  const std::int64_t columns = data.info.mark_columns;
  const std::int64_t rows = features.rows();
  const auto first = data.set.marks().begin() + first_row(*world_, rows) * columns;
  return {std::move(features), {first, first + rows * columns}};
}
TransferRows EvaluationJob::train_rows() { return with_marks(train_features(), *train_); }
TransferRows EvaluationJob::test_rows() { return with_marks(test_features(), *test_); }
TransferRows EvaluationJob::validation_rows() {
  std::optional<LabeledFeatures> none;
  return with_marks(features_of(none, *validation_), *validation_);
}

}  // namespace simclr
