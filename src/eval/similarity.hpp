#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "simclr/backend/executor.hpp"

namespace simclr {

/// Inner products of two blocks of rows on a device: s (Q,B) = queries (Q,C) bank (B,C)^T.
class BlockSimilarity {
 public:
  BlockSimilarity(std::int64_t queries, std::int64_t bank, std::int64_t channels, Backend& backend);

  [[nodiscard]] std::int64_t queries() const { return queries_; }
  [[nodiscard]] std::int64_t bank() const { return bank_; }

  /// At most Q or B rows; rows beyond what is given are zero.
  void set_bank(std::span<const float> rows);
  /// (Q,B), valid until the next call.
  std::span<const float> compare(std::span<const float> rows);

 private:
  std::int64_t queries_, bank_;
  Executor executor_;
  std::vector<float> bank_rows_, query_rows_, similarities_;
};

}  // namespace simclr
