#pragma once
// Inner products of the rows of two feature matrices, a block of each at a time, on a device.

#include <cstdint>
#include <span>
#include <vector>

#include "simclr/backend/executor.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {

/// The values of `count` rows, from row `first` on.
std::span<const float> rows_of(std::span<const float> values, std::int64_t first,
                               std::int64_t count, std::int64_t channels);

/// Records the inner products f32 (Q,B) of the input "queries" (Q,C) and the parameter "bank"
/// (B,C); returns them.
TensorId record_block_product(Recorder& recorder, std::int64_t queries, std::int64_t bank,
                              std::int64_t channels);

/// Runs a program that begins with record_block_product().
class BlockProduct {
 public:
  BlockProduct(Program program, Backend& backend);

  [[nodiscard]] std::int64_t queries() const { return queries_; }  ///< Q
  [[nodiscard]] std::int64_t bank() const { return bank_; }        ///< B
  [[nodiscard]] std::int64_t bank_rows() const { return bank_rows_; }

  /// Sets the bank to `rows`, at most B; the others are zeros.
  void set_bank(std::span<const float> rows);
  /// Runs the program for these queries, at most Q; the others are zeros.
  void multiply(std::span<const float> rows);

 protected:
  [[nodiscard]] Executor& executor() { return executor_; }

 private:
  Executor executor_;
  std::int64_t queries_, bank_, channels_, bank_rows_ = 0;
  std::vector<float> bank_values_, query_values_;
};

}  // namespace simclr
