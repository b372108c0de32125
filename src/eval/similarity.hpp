#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "simclr/backend/executor.hpp"

namespace simclr {

/// Finds on a device, for each row of a block of queries (Q,C), the k rows of a block of a bank
/// (B,C) with the largest inner products.
class NearestInBlock {
 public:
  NearestInBlock(std::int64_t queries, std::int64_t bank, std::int64_t channels, std::int64_t k,
                 Backend& backend);

  [[nodiscard]] std::int64_t queries() const { return queries_; }
  [[nodiscard]] std::int64_t bank() const { return bank_; }

  /// Sets the bank to `rows`, at most B.
  void set_bank(std::span<const float> rows);
  /// Two (Q,k) arrays, valid until the next call. Nearest rows come first; if equally near, the
  /// earlier row first. If the bank has fewer than k rows, the rest is -infinity and row -1.
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
