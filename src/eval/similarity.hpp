#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "simclr/backend/executor.hpp"

namespace simclr {

/// The k rows of a block of a bank that have the largest inner products with each row of a block
/// of queries, on a device: queries (Q,C), bank (B,C).
class NearestInBlock {
 public:
  NearestInBlock(std::int64_t queries, std::int64_t bank, std::int64_t channels, std::int64_t k,
                 Backend& backend);

  [[nodiscard]] std::int64_t queries() const { return queries_; }
  [[nodiscard]] std::int64_t bank() const { return bank_; }

  /// At most B rows.
  void set_bank(std::span<const float> rows);
  /// For at most Q rows. Both (Q,k), valid until the next call: nearest first, of equal ones the
  /// earlier row first; where the bank has fewer than k rows, -infinity and row -1.
  struct Result {
    std::span<const float> similarities;
    std::span<const std::int32_t> rows;
  };
  Result find(std::span<const float> rows);

 private:
  std::int64_t queries_, bank_, channels_;
  Executor executor_;
  std::vector<float> bank_rows_, query_rows_, similarities_;
  std::vector<std::int32_t> rows_;
};

}  // namespace simclr
