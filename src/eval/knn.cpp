#include "simclr/eval/knn.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "simclr/core/options.hpp"
#include "simclr/program/ops.hpp"
#include "similarity.hpp"

namespace simclr {
namespace {

// Block sizes: large enough for matrix units; a block of the bank and its similarities must fit in
// device memory, and all queries are copied once for every block of the bank.
constexpr std::int64_t kQueryBlock = 512;
constexpr std::int64_t kBankBlock = 16384;

struct Neighbor {
  float similarity = 0;
  std::int32_t row = 0;  // row of the bank of this rank
};
using Neighbors = std::vector<Neighbor>;  // nearest first; if equally near, earlier row first

/// Merges the nearest rows of the next block of the bank, which starts at `first_row`, into
/// `nearest`; keeps k.
void join(Neighbors& nearest, std::span<const float> similarities,
          std::span<const std::int32_t> rows, std::int32_t first_row, std::size_t k) {
  const auto earlier = std::ssize(nearest);
  for (std::size_t j = 0; j < rows.size() && rows[j] >= 0; ++j) {
    nearest.push_back({similarities[j], first_row + rows[j]});
  }
  std::inplace_merge(
      nearest.begin(), nearest.begin() + earlier, nearest.end(),
      [](const Neighbor& a, const Neighbor& b) { return a.similarity > b.similarity; });
  if (nearest.size() > k) nearest.resize(k);
}

/// Scales every row to unit length; a row of zeros stays zero.
std::vector<float> normalized_rows(const LabeledFeatures& features) {
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

/// Finds the k nearest of this rank's bank rows for every test row (fewer if the bank is smaller).
std::vector<Neighbors> nearest_in_bank(const std::vector<float>& bank, std::int64_t bank_rows,
                                       const std::vector<float>& test, std::int64_t test_rows,
                                       std::int64_t channels, std::int64_t k, Backend& backend) {
  std::vector<Neighbors> nearest(static_cast<std::size_t>(test_rows));
  if (bank_rows == 0) return nearest;
  const std::int64_t bank_block = std::min(kBankBlock, bank_rows);
  const std::int64_t of_block = std::min(k, bank_block);
  NearestInBlock search(std::min(kQueryBlock, test_rows), bank_block, channels, of_block, backend);
  for (std::int64_t b = 0; b < bank_rows; b += search.bank()) {
    search.set_bank(rows_of(bank, b, std::min(search.bank(), bank_rows - b), channels));
    for (std::int64_t q = 0; q < test_rows; q += search.queries()) {
      const std::int64_t query_count = std::min(search.queries(), test_rows - q);
      const auto found = search.find(rows_of(test, q, query_count, channels));
#pragma omp parallel for schedule(static)
      for (std::int64_t i = 0; i < query_count; ++i) {
        const auto first = static_cast<std::size_t>(i * of_block);
        const auto count = static_cast<std::size_t>(of_block);
        join(nearest[static_cast<std::size_t>(q + i)], found.similarities.subspan(first, count),
             found.rows.subspan(first, count), static_cast<std::int32_t>(b),
             static_cast<std::size_t>(k));
      }
    }
  }
  return nearest;
}

struct Vote {
  float similarity = -2;    // below every cosine: no neighbor
  std::int32_t label = -1;  // label of the neighbor
};

/// Gathers all ranks' neighbors of test rows [first, first + count), as (ranks, count, k) in rank
/// order.
std::vector<Vote> gather_votes(const std::vector<Neighbors>& nearest, std::size_t first,
                               std::size_t count, const std::vector<std::int32_t>& labels,
                               std::size_t k, Communicator& world) {
  std::vector<float> similarities(count * k, Vote{}.similarity);
  std::vector<std::int32_t> voted(count * k, Vote{}.label);
  for (std::size_t i = 0; i < count; ++i) {
    const Neighbors& found = nearest[first + i];
    for (std::size_t j = 0; j < found.size(); ++j) {
      similarities[i * k + j] = found[j].similarity;
      voted[i * k + j] = labels[static_cast<std::size_t>(found[j].row)];
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

/// Counts classes ranked before the label's: those with a larger score, and lower classes with an
/// equal one.
std::int64_t classes_ahead(const std::vector<double>& scores, std::size_t label) {
  std::int64_t ahead = 0;
  for (std::size_t c = 0; c < scores.size(); ++c) {
    if (scores[c] > scores[label] || (scores[c] == scores[label] && c < label)) ++ahead;
  }
  return ahead;
}

/// Computes the class scores of one test row from its k nearest neighbors over all ranks.
std::vector<double> class_scores(std::vector<Vote> candidates, const KnnConfig& config) {
  // Stable, so that equally near neighbors stay in order of rank and row.
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Vote& a, const Vote& b) { return a.similarity > b.similarity; });
  std::vector<double> scores(static_cast<std::size_t>(config.classes));
  for (std::int64_t j = 0; j < config.neighbors; ++j) {
    const Vote& vote = candidates[static_cast<std::size_t>(j)];
    // exp((s-1)/T) instead of exp(s/T): cannot overflow, and the common factor changes no order.
    scores[static_cast<std::size_t>(vote.label)] +=
        std::exp((double{vote.similarity} - 1) / config.temperature);
  }
  return scores;
}

}  // namespace

void validate(const KnnConfig& config, std::int64_t bank_rows) {
  if (config.neighbors > bank_rows) {
    refuse_value("neighbors", value_text(config.neighbors),
                 fmt::format("at most {}, the number of training samples", bank_rows));
  }
}

Accuracy knn_accuracy(const LabeledFeatures& bank, const LabeledFeatures& test,
                      const KnnConfig& config, Backend& backend, Communicator& world) {
  validate(config, sum_over_ranks(world, bank.rows()));
  const LabeledFeatures queries = gather_rows(world, test);
  const auto nearest = nearest_in_bank(normalized_rows(bank), bank.rows(), normalized_rows(queries),
                                       queries.rows(), bank.channels, config.neighbors, backend);

  const auto k = static_cast<std::size_t>(config.neighbors);
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
