// Matrix products by cuBLASLt.

#include "../matrix_product.hpp"

#include <array>
#include <limits>

#include "../device.hpp"
#include "../libraries.hpp"

namespace simclr::cuda {

namespace {

/// What cuBLAS recommends for Hopper.
constexpr std::uint64_t kWorkspaceLimitBytes = std::uint64_t{32} << 20;
/// Alignment of every operand: slices of the flat buffers start at multiples of 64 bytes, arena
/// tensors at 256. Rows may start anywhere; the layouts say where.
constexpr std::uint32_t kAlignmentBytes = 16;

using Description = Owner<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using MatrixLayout = Owner<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owner<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

template <class T>
void set(const Description& description, cublasLtMatmulDescAttributes_t attribute, T value) {
  check(cublasLtMatmulDescSetAttribute(description.get(), attribute, &value, sizeof value),
        "describe a matrix product");
}
template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof value),
        "say what algorithms are wanted");
}

/// The address of a bias for questions that only look at its alignment.
const void* some_bias() {
  alignas(kAlignmentBytes) static const float bias = 0;
  return &bias;
}

/// cuBLASLt counts columns first. A row-major matrix is its transpose to it, so it is asked for
/// C^T (n,m) = op(B)^T op(A)^T: B is its first operand and A its second, each transposed where ours
/// is, and a bias of n is one element a row, as its epilogue wants it.
Description describe(const MatrixProductShape& shape) {
  // Not CUBLAS_COMPUTE_32F_PEDANTIC, which also gives up fast kernels that compute in f32 proper.
  const cublasComputeType_t compute =
      shape.allow_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  cublasLtMatmulDesc_t raw = nullptr;
  check(cublasLtMatmulDescCreate(&raw, compute, CUDA_R_32F), "create a matrix product");
  Description description(raw);
  const auto form = [](bool transposed) -> std::int32_t {
    return transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  };
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, form(shape.transpose_b));
  set(description, CUBLASLT_MATMUL_DESC_TRANSB, form(shape.transpose_a));
  if (shape.bias) {
    set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{CUBLASLT_EPILOGUE_BIAS});
    set(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, some_bias());
  }
  return description;
}

MatrixLayout layout(std::int64_t rows, std::int64_t columns, std::int64_t row_stride) {
  require(rows > 0 && columns > 0 && columns <= row_stride, "a matrix has elements in rows");
  cublasLtMatrixLayout_t raw = nullptr;
  check(cublasLtMatrixLayoutCreate(&raw, CUDA_R_32F, static_cast<std::uint64_t>(columns),
                                   static_cast<std::uint64_t>(rows), row_stride),
        "describe a matrix");
  return MatrixLayout(raw);
}

Preference preference(const MatrixProductShape& shape) {
  cublasLtMatmulPreference_t raw = nullptr;
  check(cublasLtMatmulPreferenceCreate(&raw), "create a preference");
  Preference preference(raw);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceLimitBytes);
  // The slices of a split sum are added in a separate step, in f32 and in order; or there is one
  // slice. Not in place, where thread blocks take turns at the output.
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  // The compute type forbids rounding the inputs already; this holds also where the environment
  // (NVIDIA_TF32_OVERRIDE, emulation of f32) would have it otherwise.
  std::uint64_t implementations = std::numeric_limits<std::uint64_t>::max();
  implementations &= ~std::uint64_t{CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_16F |
                                    CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_16BF};
  if (!shape.allow_tf32) {
    implementations &= ~std::uint64_t{CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_TF32};
  }
  set(preference, CUBLASLT_MATMUL_PREF_IMPL_MASK, implementations);
  for (const auto operand :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(preference, operand, kAlignmentBytes);
  }
  return preference;
}

bool aligned(const float* address) {
  return reinterpret_cast<std::uintptr_t>(address) % kAlignmentBytes == 0;
}

/// The algorithm is cuBLASLt's first guess, made once. One version of the library guesses the same
/// for the same question on one model of GPU, and its algorithms give the same bits each time.
class CublasLtProduct final : public MatrixProduct {
 public:
  CublasLtProduct(const MatrixProductShape& shape, cublasLtHandle_t handle)
      : has_bias_(shape.bias),
        handle_(handle),
        description_(describe(shape)),
        a_(shape.transpose_a ? layout(shape.k, shape.m, shape.lda)
                             : layout(shape.m, shape.k, shape.lda)),
        b_(shape.transpose_b ? layout(shape.n, shape.k, shape.ldb)
                             : layout(shape.k, shape.n, shape.ldb)),
        c_(layout(shape.m, shape.n, shape.ldc)) {
    int found = 0;
    const Preference wanted = preference(shape);
    check(cublasLtMatmulAlgoGetHeuristic(handle_, description_.get(), b_.get(), a_.get(), c_.get(),
                                         c_.get(), wanted.get(), 1, &algorithm_, &found),
          "choose an algorithm for a matrix product");
    if (found < 1) {
      fail("cuBLASLt has no algorithm for a product of {}x{} and {}x{} in f32", shape.m, shape.k,
           shape.k, shape.n);
    }
    check(algorithm_.state, "choose an algorithm for a matrix product");
  }

  [[nodiscard]] std::size_t workspace_bytes() const override { return algorithm_.workspaceSize; }

  void run(const float* a, const float* b, const float* bias, float* c,
           std::span<std::byte> workspace, cudaStream_t stream) override {
    require(workspace.size() >= workspace_bytes(), "a product has the workspace it asked for");
    require((bias != nullptr) == has_bias_, "a bias is given where the shape has one");
    require(aligned(a) && aligned(b) && aligned(c) && aligned(bias), "matrices are aligned");
    if (has_bias_) set(description_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    constexpr float kOne = 1;
    constexpr float kZero = 0;
    check(cublasLtMatmul(handle_, description_.get(), &kOne, b, b_.get(), a, a_.get(), &kZero, c,
                         c_.get(), c, c_.get(), &algorithm_.algo, workspace.data(),
                         workspace.size(), stream),
          "multiply matrices");
  }

 private:
  bool has_bias_;
  cublasLtHandle_t handle_;
  Description description_;
  MatrixLayout a_, b_, c_;
  cublasLtMatmulHeuristicResult_t algorithm_{};
};

}  // namespace

std::unique_ptr<MatrixProduct> make_matrix_product(const MatrixProductShape& shape,
                                                   Device& device) {
  return std::make_unique<CublasLtProduct>(shape, device.libraries().cublaslt.get());
}

}  // namespace simclr::cuda
