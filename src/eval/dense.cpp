#include "dense.hpp"

#include <algorithm>
#include <cmath>

namespace simclr {
namespace {

constexpr std::int64_t kPanel = 64;

/// Calls work(first column) for groups of columns, in parallel.
template <class Work>
void for_each_group(std::int64_t columns, Work work) {
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < columns; first += kProductColumns) work(first);
}

}  // namespace

void add_product(const MatrixProduct& product) {
  static const auto kernel =
      SIMCLR_FROM_EACH_ISA(add_product).at(static_cast<std::size_t>(instruction_set()));
  kernel(product);
}

void cholesky(std::vector<double>& a, std::int64_t n) {
  const auto row = [&](std::int64_t i) { return a.data() + i * n; };
  std::vector<double> floor(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) floor[static_cast<std::size_t>(i)] = 1e-13 * row(i)[i];
  for (std::int64_t begin = 0; begin < n; begin += kPanel) {
    const std::int64_t end = std::min(n, begin + kPanel);
    for (std::int64_t j = begin; j < end; ++j) {
      for (std::int64_t k = begin; k < j; ++k) row(j)[j] -= row(j)[k] * row(j)[k];
      row(j)[j] = std::sqrt(std::max(row(j)[j], floor[static_cast<std::size_t>(j)]));
#pragma omp parallel for schedule(static)
      for (std::int64_t i = j + 1; i < n; ++i) {
        for (std::int64_t k = begin; k < j; ++k) row(i)[j] -= row(i)[k] * row(j)[k];
        row(i)[j] /= row(j)[j];
      }
    }
    // The rest less the panel times its transpose.
    const std::int64_t rest = n - end;
    std::vector<double> transposed(static_cast<std::size_t>((end - begin) * rest));
    for (std::int64_t k = begin; k < end; ++k) {
      for (std::int64_t i = end; i < n; ++i) {
        transposed[static_cast<std::size_t>((k - begin) * rest + i - end)] = -row(i)[k];
      }
    }
#pragma omp parallel for schedule(dynamic)
    for (std::int64_t i = end; i < n; i += kPanel) {
      add_product({.a = row(i) + begin,
                   .a_row = n,
                   .a_step = 1,
                   .b = transposed.data(),
                   .b_step = rest,
                   .c = row(i) + end,
                   .c_row = n,
                   .rows = std::min(kPanel, n - i),
                   .steps = end - begin,
                   .columns = rest});
    }
  }
}

void solve_lower(const std::vector<double>& l, std::int64_t n, std::int64_t columns,
                 std::span<double> x) {
  for_each_group(columns, [&](std::int64_t first) {
    for (std::int64_t i = 0; i < n; ++i) {
      double* xi = x.data() + i * columns + first;
      for (std::int64_t j = 0; j < i; ++j) {
        const double* xj = x.data() + j * columns + first;
        const double factor = l[static_cast<std::size_t>(i * n + j)];
        for (std::int64_t k = 0; k < kProductColumns; ++k) xi[k] -= factor * xj[k];
      }
      const double pivot = l[static_cast<std::size_t>(i * n + i)];
      for (std::int64_t k = 0; k < kProductColumns; ++k) xi[k] /= pivot;
    }
  });
}

void solve_upper(const std::vector<double>& l, std::int64_t n, std::int64_t columns,
                 std::span<double> x) {
  for_each_group(columns, [&](std::int64_t first) {
    for (std::int64_t i = n - 1; i >= 0; --i) {
      double* xi = x.data() + i * columns + first;
      const double pivot = l[static_cast<std::size_t>(i * n + i)];
      for (std::int64_t k = 0; k < kProductColumns; ++k) xi[k] /= pivot;
      for (std::int64_t j = 0; j < i; ++j) {
        double* xj = x.data() + j * columns + first;
        const double factor = l[static_cast<std::size_t>(i * n + j)];
        for (std::int64_t k = 0; k < kProductColumns; ++k) xj[k] -= factor * xi[k];
      }
    }
  });
}

void multiply_upper(const std::vector<double>& l, std::int64_t n, std::int64_t columns,
                    std::span<double> x) {
  for_each_group(columns, [&](std::int64_t first) {
    for (std::int64_t i = 0; i < n; ++i) {
      double* xi = x.data() + i * columns + first;
      const double pivot = l[static_cast<std::size_t>(i * n + i)];
      for (std::int64_t k = 0; k < kProductColumns; ++k) xi[k] *= pivot;
      for (std::int64_t j = i + 1; j < n; ++j) {
        const double* xj = x.data() + j * columns + first;
        const double factor = l[static_cast<std::size_t>(j * n + i)];
        for (std::int64_t k = 0; k < kProductColumns; ++k) xi[k] += factor * xj[k];
      }
    }
  });
}

}  // namespace simclr
