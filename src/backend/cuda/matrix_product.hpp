#pragma once
// One matrix product, made ready: the one thing asked of cuBLASLt.

#include <cuda_runtime.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>

namespace simclr::cuda {

class Device;

/// Row-major f32: C (m,n; row stride ldc) = op(A) op(B) [+ bias (n)]. op(A) is (m,k), op(B) (k,n);
/// transposed operands are stored (k,m) and (n,k).
struct MatrixProductShape {
  bool transpose_a = false, transpose_b = false;
  bool bias = false;
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t lda = 0, ldb = 0, ldc = 0;  ///< row strides, elements
  bool allow_tf32 = false;

  auto operator<=>(const MatrixProductShape&) const = default;
};

class MatrixProduct {
 public:
  virtual ~MatrixProduct() = default;
  [[nodiscard]] virtual std::size_t workspace_bytes() const = 0;
  /// `bias` is null where the shape has none. Deterministic.
  virtual void run(const float* a, const float* b, const float* bias, float* c,
                   std::span<std::byte> workspace, cudaStream_t stream) = 0;
};

std::unique_ptr<MatrixProduct> make_matrix_product(const MatrixProductShape& shape, Device& device);

/// All products of a device, each made once a shape.
using MatrixProducts = std::map<MatrixProductShape, std::unique_ptr<MatrixProduct>>;

}  // namespace simclr::cuda
