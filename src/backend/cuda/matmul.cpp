// Linear layers: f32 matrix products. Activations have padded rows, weights are packed.

#include "kernels/kernels.hpp"
#include "matrix_product.hpp"
#include "steps.hpp"

namespace simclr::cuda {

namespace {

/// Zeros in the channels that pad each row: products write the real ones only.
void clear_padding(float* rows, const Layout& layout, cudaStream_t stream) {
  if (!layout.padded()) return;
  check(cudaMemset2DAsync(rows + layout.channels,
                          static_cast<std::size_t>(layout.stride) * sizeof(float), 0,
                          static_cast<std::size_t>(layout.stride - layout.channels) * sizeof(float),
                          static_cast<std::size_t>(layout.rows()), stream),
        "clear padding");
}

/// c = op(a) op(b) [+ bias], then behind(stream).
template <class Behind>
Prepared make_product(MatrixProductShape shape, const Context& context, const float* a,
                      const float* b, const float* bias, float* c, Behind behind) {
  shape.allow_tf32 = context.device.options().allow_tf32;
  auto& made = context.device.matrix_products()[shape];
  if (!made) made = make_matrix_product(shape, context.device);
  return make_step(made->workspace_bytes(),
                   [=, product = made.get(), stream = context.stream()](Workspace workspace) {
                     product->run(a, b, bias, c, workspace, stream);
                     behind(stream);
                   });
}

}  // namespace

/// y (V,K) = x (V,C) w(K,C)^T [+ bias].
Prepared prepare(const MatMul& op, const Context& context) {
  const Layout x = context.layout(op.x);
  const Layout y = context.layout(op.y);
  const MatrixProductShape shape{.transpose_b = true,
                                 .bias = op.bias.has_value(),
                                 .m = y.images,
                                 .n = y.channels,
                                 .k = x.channels,
                                 .lda = x.stride,
                                 .ldb = x.channels,
                                 .ldc = y.stride};
  auto* rows = context.values<float>(op.y);
  return make_product(shape, context, context.values<float>(op.x), context.values<float>(op.w),
                      context.values<float>(op.bias), rows,
                      [=](cudaStream_t stream) { clear_padding(rows, y, stream); });
}

/// dx (V,C) = dy (V,K) w (K,C).
Prepared prepare(const MatMulBackwardData& op, const Context& context) {
  const Layout dy = context.layout(op.dy);
  const Layout dx = context.layout(op.dx);
  const MatrixProductShape shape{.m = dx.images,
                                 .n = dx.channels,
                                 .k = dy.channels,
                                 .lda = dy.stride,
                                 .ldb = dx.channels,
                                 .ldc = dx.stride};
  auto* rows = context.values<float>(op.dx);
  return make_product(shape, context, context.values<float>(op.dy), context.values<float>(op.w),
                      nullptr, rows, [=](cudaStream_t stream) { clear_padding(rows, dx, stream); });
}

/// dw (K,C) = dy (V,K)^T x (V,C).
Prepared prepare(const MatMulBackwardWeights& op, const Context& context) {
  const Layout x = context.layout(op.x);
  const Layout dy = context.layout(op.dy);
  const MatrixProductShape shape{.transpose_a = true,
                                 .m = dy.channels,
                                 .n = x.channels,
                                 .k = x.images,
                                 .lda = dy.stride,
                                 .ldb = x.stride,
                                 .ldc = x.channels};
  const auto* gradients = context.values<float>(op.dy);
  return make_product(shape, context, gradients, context.values<float>(op.x), nullptr,
                      context.values<float>(op.dw),
                      [=, dbias = context.values<float>(op.dbias)](cudaStream_t stream) {
                        if (dbias == nullptr) return;
                        column_sums(gradients, dbias, dy.rows(), dy.channels, dy.stride, stream);
                      });
}

}  // namespace simclr::cuda
