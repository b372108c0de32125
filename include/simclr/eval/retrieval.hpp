#pragma once
// Retrieval: whether the samples that are nearest to a sample have its label. mAP@R is that of
// Musgrave et al., "A metric learning reality check", ECCV 2020, section 3.2.

#include <array>
#include <cstdint>
#include <span>

#include "simclr/backend/backend.hpp"
#include "simclr/eval/features.hpp"

namespace simclr {

struct Retrieval {
  static constexpr std::array<std::int64_t, 3> kPlaces{1, 5, 10};

  /// For each k of kPlaces the fraction of queries with a sample of their label among the k
  /// nearest.
  std::array<double, 3> recall{};
  /// Mean over queries of (1/R) sum over the places i <= R that hold a sample of the query's label
  /// of the fraction of such samples up to place i. R: other samples of this label.
  double map_at_r = 0;
  std::int64_t queries = 0;
  std::int64_t left_out = 0;  ///< samples whose label no other sample has: R = 0
};

/// Whether any two of these labels are equal, so that there is a query.
bool any_to_retrieve(std::span<const std::int64_t> labels);

/// Takes each sample as a query among all others of the set, ordered by cosine similarity; if
/// similarities are equal, the earlier sample is nearer. Every rank passes a part of the set.
/// Memory of a rank: the whole set, and some rows of similarities. Collective.
Retrieval measure_retrieval(const LabeledFeatures& part, Backend& backend, Communicator& world);

}  // namespace simclr
