// Tiles of the product that stay in registers while all steps are added.

#include "dense.hpp"
#include "simclr/core/simd.hpp"

namespace simclr::SIMCLR_ISA {
namespace {

constexpr int kLanes = kWidth / 2;
using VecD = double __attribute__((vector_size(kLanes * 8)));
constexpr int kVectors = static_cast<int>(kProductColumns) / kLanes;
constexpr int kTileRows = 4;

template <int kRows>
SIMCLR_HD_INLINE void add_tile(const MatrixProduct& m, Index row, Index column) {
  const double* a = m.a + row * m.a_row;
  const double* b = m.b + column;
  double* c = m.c + row * m.c_row + column;
  VecD sums[kRows][kVectors] = {};
  for (Index step = 0; step < m.steps; ++step, a += m.a_step, b += m.b_step) {
    VecD right[kVectors];
    for (int v = 0; v < kVectors; ++v) right[v] = load_vector<VecD>(b + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const double left = a[r * m.a_row];
      for (int v = 0; v < kVectors; ++v) sums[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      double* to = c + r * m.c_row + v * kLanes;
      store_vector(to, load_vector<VecD>(to) + sums[r][v]);
    }
  }
}

}  // namespace

void add_product(const MatrixProduct& product) {
  for (Index column = 0; column < product.columns; column += kProductColumns) {
    Index row = 0;
    for (; row + kTileRows <= product.rows; row += kTileRows) {
      add_tile<kTileRows>(product, row, column);
    }
    for (; row < product.rows; ++row) add_tile<1>(product, row, column);
  }
}

}  // namespace simclr::SIMCLR_ISA
