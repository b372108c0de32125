#pragma once
// Weighted nearest-neighbor classification (Wu et al., "Unsupervised feature learning via
// non-parametric instance discrimination", CVPR 2018, section 3.4).

#include <cstdint>

#include "simclr/backend/backend.hpp"
#include "simclr/eval/features.hpp"
#include "simclr/eval/predictions.hpp"

namespace simclr {

struct KnnConfig {
  std::int64_t neighbors = 200;  ///< k, 1 to TopK::kMost
  double temperature = 0.1;      ///< T, above 0
  std::int64_t classes = 0;
  Predictions::Keep keep = Predictions::Keep::best;
};

/// Refuses a k larger than the number of the bank's rows.
void validate(const KnnConfig& config, std::int64_t bank_rows);

/// Classifies this rank's part of `test`: for each sample the k rows of `bank` with the largest
/// cosine similarity s vote, with weight exp(s/T). If similarities are equal, the earlier row is
/// nearer; if votes are equal, the lower class wins. A class's score is the sum of its votes'
/// weights, divided by exp(1/T). Every rank passes a part of both. Memory of a rank: its bank, the
/// whole test matrix, and k entries for each test sample. Collective.
Predictions knn_predictions(const LabeledFeatures& bank, const LabeledFeatures& test,
                            const KnnConfig& config, Backend& backend, Communicator& world);

/// The accuracy of these predictions over all ranks' test samples. Collective.
Accuracy knn_accuracy(const LabeledFeatures& bank, const LabeledFeatures& test,
                      const KnnConfig& config, Backend& backend, Communicator& world);

}  // namespace simclr
