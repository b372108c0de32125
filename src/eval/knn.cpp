#include "simclr/eval/knn.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "simclr/core/check.hpp"
#include "similarity.hpp"

namespace simclr {
namespace {

// Large enough for the matrix units, small enough for a block of similarities to stay near.
constexpr std::int64_t kQueryBlock = 512;
constexpr std::int64_t kBankBlock = 4096;

struct Neighbour {
  float similarity = 0;
  std::int32_t row = 0;  // of this rank's bank
};
bool nearer(const Neighbour& a, const Neighbour& b) {
  return a.similarity > b.similarity || (a.similarity == b.similarity && a.row < b.row);
}

/// The k nearest rows seen so far: a heap whose front is the farthest of them.
class NearestRows {
 public:
  void offer(std::span<const float> similarities, std::int32_t first_row, std::size_t k) {
    for (std::size_t i = 0; i < similarities.size(); ++i) {
      const Neighbour candidate{similarities[i], first_row + static_cast<std::int32_t>(i)};
      if (heap_.size() == k) {
        if (!nearer(candidate, heap_.front())) continue;
        std::pop_heap(heap_.begin(), heap_.end(), nearer);
        heap_.back() = candidate;
      } else {
        heap_.push_back(candidate);
      }
      std::push_heap(heap_.begin(), heap_.end(), nearer);
    }
  }
  /// Nearest first.
  std::vector<Neighbour> take_sorted() {
    std::sort_heap(heap_.begin(), heap_.end(), nearer);
    return std::move(heap_);
  }

 private:
  std::vector<Neighbour> heap_;
};

/// Rows of unit length; a row of zeros stays zero.
std::vector<float> normalised_rows(const LabelledFeatures& features) {
  std::vector<float> unit(features.values);
  const auto channels = static_cast<std::size_t>(features.channels);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < features.rows(); ++i) {
    const auto row = std::span(unit).subspan(static_cast<std::size_t>(i) * channels, channels);
    double sum = 0;
    for (const float value : row) sum += double{value} * value;
    const double inverse_norm = 1 / std::max(std::sqrt(sum), 1e-12);
    for (float& value : row) value = static_cast<float>(value * inverse_norm);
  }
  return unit;
}

std::span<const float> rows_of(const std::vector<float>& values, std::int64_t first,
                               std::int64_t count, std::int64_t channels) {
  return std::span(values).subspan(static_cast<std::size_t>(first * channels),
                                   static_cast<std::size_t>(count * channels));
}

/// The k nearest of this rank's bank rows for every test row (fewer where the bank is smaller).
std::vector<NearestRows> nearest_in_bank(const std::vector<float>& bank, std::int64_t bank_rows,
                                         const std::vector<float>& test, std::int64_t test_rows,
                                         std::int64_t channels, std::int64_t k, Backend& backend) {
  std::vector<NearestRows> nearest(static_cast<std::size_t>(test_rows));
  if (bank_rows == 0) return nearest;
  BlockSimilarity similarity(std::min(kQueryBlock, test_rows), std::min(kBankBlock, bank_rows),
                             channels, backend);
  for (std::int64_t b = 0; b < bank_rows; b += similarity.bank()) {
    const std::int64_t bank_count = std::min(similarity.bank(), bank_rows - b);
    similarity.set_bank(rows_of(bank, b, bank_count, channels));
    for (std::int64_t q = 0; q < test_rows; q += similarity.queries()) {
      const std::int64_t query_count = std::min(similarity.queries(), test_rows - q);
      const auto block = similarity.compare(rows_of(test, q, query_count, channels));
#pragma omp parallel for schedule(static)
      for (std::int64_t i = 0; i < query_count; ++i) {
        nearest[static_cast<std::size_t>(q + i)].offer(
            block.subspan(static_cast<std::size_t>(i * similarity.bank()),
                          static_cast<std::size_t>(bank_count)),
            static_cast<std::int32_t>(b), static_cast<std::size_t>(k));
      }
    }
  }
  return nearest;
}

struct Vote {
  float similarity = -2;    // below every cosine: no neighbour
  std::int32_t label = -1;  // of the neighbour
};

/// All ranks' neighbours of test rows [first, first + count): (ranks, count, k), rank order.
std::vector<Vote> gather_votes(std::vector<NearestRows>& nearest, std::size_t first,
                               std::size_t count, const std::vector<std::int32_t>& labels,
                               std::size_t k, Communicator& world) {
  std::vector<float> similarities(count * k, Vote{}.similarity);
  std::vector<std::int32_t> voted(count * k, Vote{}.label);
  for (std::size_t i = 0; i < count; ++i) {
    const auto sorted = nearest[first + i].take_sorted();
    for (std::size_t j = 0; j < sorted.size(); ++j) {
      similarities[i * k + j] = sorted[j].similarity;
      voted[i * k + j] = labels[static_cast<std::size_t>(sorted[j].row)];
    }
  }
  const auto ranks = static_cast<std::size_t>(world.size());
  std::vector<float> all_similarities(ranks * count * k);
  std::vector<std::int32_t> all_voted(ranks * count * k);
  world.all_gather(buffer_span(std::span(similarities)), buffer_span(std::span(all_similarities)));
  world.all_gather(buffer_span(std::span(voted)), buffer_span(std::span(all_voted)));
  std::vector<Vote> votes(all_voted.size());
  for (std::size_t i = 0; i < votes.size(); ++i) votes[i] = {all_similarities[i], all_voted[i]};
  return votes;
}

/// Classes that beat the label's: a larger score, or an equal one of a lower class.
std::int64_t classes_ahead(const std::vector<double>& scores, std::size_t label) {
  std::int64_t ahead = 0;
  for (std::size_t c = 0; c < scores.size(); ++c) {
    if (scores[c] > scores[label] || (scores[c] == scores[label] && c < label)) ++ahead;
  }
  return ahead;
}

/// Class scores of one test row from its k nearest votes over all ranks.
std::vector<double> class_scores(std::vector<Vote> candidates, const KnnConfig& config) {
  // Stable: among equals the lower rank, and in it the earlier row, stays first.
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Vote& a, const Vote& b) { return a.similarity > b.similarity; });
  std::vector<double> scores(static_cast<std::size_t>(config.classes));
  for (std::int64_t j = 0; j < config.neighbours; ++j) {
    const Vote& vote = candidates[static_cast<std::size_t>(j)];
    // exp((s-1)/T): the common factor exp(1/T) changes no order and cannot overflow.
    scores[static_cast<std::size_t>(vote.label)] +=
        std::exp((double{vote.similarity} - 1) / config.temperature);
  }
  return scores;
}

}  // namespace

void validate(const KnnConfig& config, std::int64_t bank_rows) {
  if (config.neighbours < 1 || config.neighbours > bank_rows) {
    refuse("option --neighbours: {}: allowed are 1 to the number of training samples, {}",
           config.neighbours, bank_rows);
  }
  if (!(config.temperature > 0)) {
    refuse("option --temperature: {}: must be positive", config.temperature);
  }
}

Accuracy knn_accuracy(const LabelledFeatures& bank, const LabelledFeatures& test,
                      const KnnConfig& config, Backend& backend, Communicator& world) {
  validate(config, sum_over_ranks(world, bank.rows()));
  const LabelledFeatures queries = gather_rows(world, test);
  auto nearest = nearest_in_bank(normalised_rows(bank), bank.rows(), normalised_rows(queries),
                                 queries.rows(), bank.channels, config.neighbours, backend);

  const auto k = static_cast<std::size_t>(config.neighbours);
  const auto ranks = static_cast<std::size_t>(world.size());
  std::int64_t top1 = 0;
  std::int64_t top5 = 0;
  for (std::int64_t first = 0; first < queries.rows(); first += kQueryBlock) {
    const std::int64_t count = std::min(kQueryBlock, queries.rows() - first);
    const auto block = static_cast<std::size_t>(count);
    const auto votes =
        gather_votes(nearest, static_cast<std::size_t>(first), block, bank.labels, k, world);
#pragma omp parallel for schedule(static) reduction(+ : top1, top5)
    for (std::int64_t i = 0; i < count; ++i) {
      std::vector<Vote> candidates;
      for (std::size_t rank = 0; rank < ranks; ++rank) {
        const auto begin = votes.begin() + static_cast<std::ptrdiff_t>(
                                               (rank * block + static_cast<std::size_t>(i)) * k);
        candidates.insert(candidates.end(), begin, begin + static_cast<std::ptrdiff_t>(k));
      }
      const auto label =
          static_cast<std::size_t>(queries.labels[static_cast<std::size_t>(first + i)]);
      const auto ahead = classes_ahead(class_scores(std::move(candidates), config), label);
      top1 += ahead < 1 ? 1 : 0;
      top5 += ahead < 5 ? 1 : 0;
    }
  }
  const auto samples = static_cast<double>(queries.rows());
  return {static_cast<double>(top1) / samples, static_cast<double>(top5) / samples, queries.rows()};
}

}  // namespace simclr
