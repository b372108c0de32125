#include "simclr/eval/knn.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "block_product.hpp"
#include "simclr/core/options.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {
namespace {

// Block sizes: large enough for matrix units; a block of the bank and its similarities must fit in
// device memory, and all queries are copied once for every block of the bank.
constexpr std::int64_t kQueryBlock = 512;
constexpr std::int64_t kBankBlock = 16384;

Program record_search(std::int64_t queries, std::int64_t bank, std::int64_t channels,
                      std::int64_t k) {
  Recorder r;
  const Recorder::Frozen frozen(r);
  const TensorId y = record_block_product(r, queries, bank, channels);
  r.emit(TopK{.values = y,
              .valid = r.named("bank rows", {1}, DType::i32, Storage::control),
              .best = r.named("nearest", {queries, k}, DType::f32, Storage::output),
              .columns = r.named("rows", {queries, k}, DType::i32, Storage::output)});
  return r.finish();
}

/// Finds, for each row of a block of queries, the k rows of a block of a bank with the largest
/// inner products.
class NearestInBlock : public BlockProduct {
 public:
  NearestInBlock(std::int64_t queries, std::int64_t bank, std::int64_t channels, std::int64_t k,
                 Backend& backend)
      : BlockProduct(record_search(queries, bank, channels, k), backend),
        similarities_(static_cast<std::size_t>(queries * k)),
        rows_(similarities_.size()) {}

  /// Two (Q,k) arrays, valid until the next call. Nearest rows come first; if equally near, the
  /// earlier row first. If the bank has fewer than k rows, the rest is -infinity and row -1.
  struct Result {
    std::span<const float> similarities;
    std::span<const std::int32_t> rows;
  };
  Result find(std::span<const float> queries) {
    const auto count = static_cast<std::int32_t>(bank_rows());
    executor().upload(executor().program().at("bank rows"),
                      const_buffer_span(std::span<const std::int32_t>(&count, 1)));
    multiply(queries);
    const Program& program = executor().program();
    executor().download(program.at("nearest"), buffer_span(std::span(similarities_)));
    executor().download(program.at("rows"), buffer_span(std::span(rows_)));
    return {.similarities = similarities_, .rows = rows_};
  }

 private:
  std::vector<float> similarities_;
  std::vector<std::int32_t> rows_;
};

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
                               std::size_t count, const std::vector<std::int64_t>& labels,
                               std::size_t k, Communicator& world) {
  std::vector<Vote> own(count * k);
  for (std::size_t i = 0; i < count; ++i) {
    const Neighbors& found = nearest[first + i];
    for (std::size_t j = 0; j < found.size(); ++j) {
      own[i * k + j] = {found[j].similarity,
                        static_cast<std::int32_t>(labels[static_cast<std::size_t>(found[j].row)])};
    }
  }
  std::vector<Vote> all(own.size() * static_cast<std::size_t>(world.size()));
  world.all_gather({own.data(), own.size() * sizeof(Vote), DType::u8},
                   {all.data(), all.size() * sizeof(Vote), DType::u8});
  return all;
}

/// The neighbors of one row of gather_votes(): (ranks, k).
std::vector<Vote> votes_of_row(const std::vector<Vote>& votes, std::size_t row, std::size_t rows,
                               std::size_t k) {
  std::vector<Vote> of_row;
  for (std::size_t first = row * k; first < votes.size(); first += rows * k) {
    const auto begin = votes.begin() + static_cast<std::ptrdiff_t>(first);
    of_row.insert(of_row.end(), begin, begin + static_cast<std::ptrdiff_t>(k));
  }
  return of_row;
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

Predictions knn_predictions(const LabeledFeatures& bank, const LabeledFeatures& test,
                            const KnnConfig& config, Backend& backend, Communicator& world) {
  validate(config, sum_over_ranks(world, bank.rows()));
  const LabeledFeatures queries = gather_rows(world, test);
  const auto nearest = nearest_in_bank(normalized_rows(bank), bank.rows(), normalized_rows(queries),
                                       queries.rows(), bank.channels, config.neighbors, backend);
  Predictions predictions(config.classes, config.keep);
  predictions.append_rows(test.rows());
  const std::int64_t own_begin = first_row(world, test.rows());
  const std::int64_t own_end = own_begin + test.rows();
  const auto k = static_cast<std::size_t>(config.neighbors);
  for (std::int64_t first = 0; first < queries.rows(); first += kQueryBlock) {
    const std::int64_t count = std::min(kQueryBlock, queries.rows() - first);
    const auto block = static_cast<std::size_t>(count);
    const auto votes =
        gather_votes(nearest, static_cast<std::size_t>(first), block, bank.labels, k, world);
#pragma omp parallel for schedule(static)
    for (std::int64_t row = std::max(first, own_begin); row < std::min(first + count, own_end);
         ++row) {
      const auto candidates = votes_of_row(votes, static_cast<std::size_t>(row - first), block, k);
      predictions.set<double>(row - own_begin, queries.labels[static_cast<std::size_t>(row)],
                              class_scores(candidates, config));
    }
  }
  return predictions;
}

Accuracy knn_accuracy(const LabeledFeatures& bank, const LabeledFeatures& test,
                      const KnnConfig& config, Backend& backend, Communicator& world) {
  return class_accuracy(knn_predictions(bank, test, config, backend, world), world).all;
}

}  // namespace simclr
