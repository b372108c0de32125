#include "simclr/eval/retrieval.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>
#include <unordered_set>
#include <vector>

#include "block_product.hpp"
#include "simclr/core/activity.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kGalleryBlock = 16384;
/// The most similarities, of some queries to the whole set, that are in memory at a time (64 MB).
constexpr std::int64_t kMostSimilarities = 16 << 20;
constexpr std::int64_t kMostQueries = 512;

/// Computes the similarities of a few queries to the whole set, one block after the other.
class Similarities : public BlockProduct {
 public:
  Similarities(const std::vector<float>& set, std::int64_t rows, std::int64_t channels,
               Backend& backend)
      : BlockProduct(record(rows, channels), backend),
        set_(&set),
        rows_(rows),
        channels_(channels) {}

  /// Returns (count, rows) similarities of the rows [first, first + count) of the set.
  const std::vector<float>& find(std::int64_t first, std::int64_t count) {
    values_.resize(static_cast<std::size_t>(count * rows_));
    for (std::int64_t begin = 0; begin < rows_; begin += bank()) {
      const std::int64_t columns = std::min(bank(), rows_ - begin);
      if (bank_rows() == 0 || rows_ > bank()) set_bank(rows_of(*set_, begin, columns, channels_));
      multiply(rows_of(*set_, first, count, channels_));
      const auto block = executor().values(executor().program().at("similarities"));
      for (std::int64_t i = 0; i < count; ++i) {
        std::copy_n(block.begin() + i * bank(), columns, values_.begin() + i * rows_ + begin);
      }
    }
    return values_;
  }

 private:
  static Program record(std::int64_t rows, std::int64_t channels) {
    Recorder recorder;
    const Recorder::Frozen frozen(recorder);
    const std::int64_t queries =
        std::clamp(kMostSimilarities / rows, std::int64_t{1}, kMostQueries);
    record_block_product(recorder, std::min(queries, rows), std::min(kGalleryBlock, rows),
                         channels);
    return recorder.finish();
  }

  const std::vector<float>* set_;
  std::int64_t rows_, channels_;
  std::vector<float> values_;
};

/// The samples nearest to one sample, nearest first; as many as `count`, if there are so many.
std::vector<std::int32_t> nearest(std::span<const float> similarities, std::int64_t self,
                                  std::int64_t count) {
  std::vector<std::int32_t> order(similarities.size());
  std::iota(order.begin(), order.end(), 0);
  order.erase(order.begin() + self);
  count = std::min(count, std::ssize(order));
  std::ranges::partial_sort(order, order.begin() + count, [&](std::int32_t a, std::int32_t b) {
    const float of_a = similarities[static_cast<std::size_t>(a)];
    const float of_b = similarities[static_cast<std::size_t>(b)];
    return of_a > of_b || (of_a == of_b && a < b);
  });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

/// Hits at each of kPlaces (0 or 1), then the average precision at R.
std::array<double, 4> judge(const std::vector<std::int32_t>& found,
                            const std::vector<std::int64_t>& labels, std::int64_t label,
                            std::int64_t same_label) {
  std::array<double, 4> scores{};
  double same = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (labels[static_cast<std::size_t>(found[i])] != label) continue;
    same += 1;
    for (std::size_t k = 0; k < Retrieval::kPlaces.size(); ++k) {
      if (static_cast<std::int64_t>(i) < Retrieval::kPlaces[k]) scores[k] = 1;
    }
    if (static_cast<std::int64_t>(i) < same_label) scores[3] += same / static_cast<double>(i + 1);
  }
  scores[3] /= static_cast<double>(same_label);
  return scores;
}

}  // namespace

bool any_to_retrieve(std::span<const std::int64_t> labels) {
  std::unordered_set<std::int64_t> seen;
  return std::ranges::any_of(labels,
                             [&](std::int64_t label) { return !seen.insert(label).second; });
}

Retrieval measure_retrieval(const LabeledFeatures& part, Backend& backend, Communicator& world) {
  const LabeledFeatures whole = gather_rows(world, part);
  const std::int64_t own_begin = first_row(world, part.rows());
  std::map<std::int64_t, std::int64_t> class_sizes;
  for (const std::int64_t label : whole.labels) ++class_sizes[label];
  const std::vector<float> unit = normalized_rows(whole);
  Similarities similarities(unit, whole.rows(), whole.channels, backend);
  std::vector<std::array<double, 4>> scores(static_cast<std::size_t>(part.rows()));
  std::array<double, 6> sums{};  // of the scores, then queries and samples that are none
  for (std::int64_t first = 0; first < part.rows(); first += similarities.queries()) {
    activity().move();
    const std::int64_t count = std::min(similarities.queries(), part.rows() - first);
    const std::vector<float>& found = similarities.find(own_begin + first, count);
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t label = part.labels[static_cast<std::size_t>(first + i)];
      const std::int64_t same_label = class_sizes.at(label) - 1;
      if (same_label == 0) continue;
      const auto row = rows_of(found, i, 1, whole.rows());
      scores[static_cast<std::size_t>(first + i)] = judge(
          nearest(row, own_begin + first + i, std::max(same_label, Retrieval::kPlaces.back())),
          whole.labels, label, same_label);
    }
  }
  for (std::size_t i = 0; i < scores.size(); ++i) {  // in order, so that threads change no bit
    for (std::size_t k = 0; k < scores[i].size(); ++k) sums[k] += scores[i][k];
    sums[class_sizes.at(part.labels[i]) > 1 ? 4 : 5] += 1;
  }
  world.all_reduce(buffer_span(std::span<double>(sums)), Reduction::sum);
  return {.recall = {sums[0] / sums[4], sums[1] / sums[4], sums[2] / sums[4]},
          .map_at_r = sums[3] / sums[4],
          .queries = static_cast<std::int64_t>(sums[4]),
          .left_out = static_cast<std::int64_t>(sums[5])};
}

}  // namespace simclr
