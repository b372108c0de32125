// Matrix products as nested loops, in the place of cuBLASLt.

#include "matrix_product.hpp"

#include "device_memory.hpp"
#include "simclr/core/check.hpp"
#include "streams.hpp"

namespace simclr::cuda {

namespace {

class MatrixLoops final : public MatrixProduct {
 public:
  explicit MatrixLoops(const MatrixProductShape& shape) : shape_(shape) {}
  [[nodiscard]] std::size_t workspace_bytes() const override { return 64; }

  void run(const float* a, const float* b, const float* bias, float* c,
           std::span<std::byte> workspace, cudaStream_t stream) override {
    require(workspace.size() >= workspace_bytes(), "a product has the workspace it asked for");
    require((bias != nullptr) == shape_.bias, "a bias is given where the shape has one");
    emulation::enqueue(stream, [=, this] {
      const emulation::DeviceMemoryIsOpen open;
      for (std::int64_t i = 0; i < shape_.m; ++i) {
        for (std::int64_t j = 0; j < shape_.n; ++j) {
          double sum = bias != nullptr ? bias[j] : 0.0;
          for (std::int64_t k = 0; k < shape_.k; ++k) {
            const std::int64_t of_a = shape_.transpose_a ? k * shape_.lda + i : i * shape_.lda + k;
            const std::int64_t of_b = shape_.transpose_b ? j * shape_.ldb + k : k * shape_.ldb + j;
            sum += double{a[of_a]} * double{b[of_b]};
          }
          c[i * shape_.ldc + j] = static_cast<float>(sum);
        }
      }
    });
  }

 private:
  MatrixProductShape shape_;
};

}  // namespace

std::unique_ptr<MatrixProduct> make_matrix_product(const MatrixProductShape& shape,
                                                   Device& /*device*/) {
  return std::make_unique<MatrixLoops>(shape);
}

}  // namespace simclr::cuda
