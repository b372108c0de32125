#pragma once
// Dense matrices in double precision, for classifiers that are fitted to many digits.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "simclr/core/instruction_set.hpp"

namespace simclr {

/// C += A B with A (rows, steps), B (steps, columns) and C (rows, columns). Strides count elements.
struct MatrixProduct {
  const double* a = nullptr;
  std::ptrdiff_t a_row = 0, a_step = 0;  ///< from one row to the next, from one step to the next
  const double* b = nullptr;
  std::ptrdiff_t b_step = 0;  ///< columns are next to each other
  double* c = nullptr;
  std::ptrdiff_t c_row = 0;
  std::ptrdiff_t rows = 0, steps = 0;
  std::ptrdiff_t columns = 0;  ///< a multiple of kProductColumns
};
inline constexpr std::ptrdiff_t kProductColumns = 8;

/// Rounds up to a number of columns that a product can have.
constexpr std::ptrdiff_t padded_columns(std::ptrdiff_t columns) {
  return (columns + kProductColumns - 1) / kProductColumns * kProductColumns;
}

SIMCLR_DECLARE_IN_EACH_ISA(void add_product(const MatrixProduct& product))

/// Adds the product to C, in one thread.
void add_product(const MatrixProduct& product);

/// Factors a symmetric positive definite (n, n) matrix into L L^T. L replaces its lower triangle; n
/// is a multiple of kProductColumns. A pivot that rounding makes too small or negative is replaced
/// by a small part of the diagonal: L is then that of a matrix nearby.
void cholesky(std::vector<double>& a, std::int64_t n);

// With L of cholesky() and x (n, columns), in place; columns is a multiple of kProductColumns.
/// x = L^-1 x
void solve_lower(const std::vector<double>& l, std::int64_t n, std::int64_t columns,
                 std::span<double> x);
/// x = L^-T x
void solve_upper(const std::vector<double>& l, std::int64_t n, std::int64_t columns,
                 std::span<double> x);
/// x = L^T x
void multiply_upper(const std::vector<double>& l, std::int64_t n, std::int64_t columns,
                    std::span<double> x);

}  // namespace simclr
