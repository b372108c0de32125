#pragma once
// Weighted nearest-neighbor classification (Wu et al., "Unsupervised feature learning via
// non-parametric instance discrimination", CVPR 2018, section 3.4).

#include <cstdint>

#include "simclr/backend/backend.hpp"
#include "simclr/eval/features.hpp"

namespace simclr {

struct KnnConfig {
  std::int64_t neighbors = 200;  ///< k, 1 to TopK::kMost
  double temperature = 0.1;      ///< T, above 0
  std::int64_t classes = 0;
};

/// Refuses k beyond the bank's rows.
void validate(const KnnConfig& config, std::int64_t bank_rows);

/// Accuracy on `test` of the vote of each sample's k nearest rows of `bank` in cosine similarity s,
/// each with weight exp(s/T). Equal similarities: the earlier row is nearer; equal votes: the
/// lower class wins. Every rank holds a part of both; memory per rank is its bank, the whole test
/// matrix, and k entries a test sample. Collective.
Accuracy knn_accuracy(const LabelledFeatures& bank, const LabelledFeatures& test,
                      const KnnConfig& config, Backend& backend, Communicator& world);

}  // namespace simclr
