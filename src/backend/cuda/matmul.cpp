// Linear layers: f32 matrix products. Activations have padded rows, weights are packed.

#include "kernels/kernels.hpp"
#include "matrix_product.hpp"
#include "steps.hpp"

namespace simclr::cuda {

namespace {

/// y (V,K) = x (V,C) w(K,C)^T [+ bias].
MatrixProductShape shape_of(const MatMul& op, const Context& context) {
  const Layout x = context.layout(op.x);
  const Layout y = context.layout(op.y);
  return {.transpose_b = true,
          .bias = op.bias.has_value(),
          .m = y.images,
          .n = y.channels,
          .k = x.channels,
          .lda = x.stride,
          .ldb = x.channels,
          .ldc = y.stride,
          .allow_tf32 = context.device.options().allow_tf32};
}

/// dx (V,C) = dy (V,K) w (K,C).
MatrixProductShape shape_of(const MatMulBackwardData& op, const Context& context) {
  const Layout dy = context.layout(op.dy);
  const Layout dx = context.layout(op.dx);
  return {.m = dx.images,
          .n = dx.channels,
          .k = dy.channels,
          .lda = dy.stride,
          .ldb = dx.channels,
          .ldc = dx.stride,
          .allow_tf32 = context.device.options().allow_tf32};
}

/// dw (K,C) = dy (V,K)^T x (V,C).
MatrixProductShape shape_of(const MatMulBackwardWeights& op, const Context& context) {
  const Layout x = context.layout(op.x);
  const Layout dy = context.layout(op.dy);
  return {.transpose_a = true,
          .m = dy.channels,
          .n = x.channels,
          .k = x.images,
          .lda = dy.stride,
          .ldb = x.stride,
          .ldc = x.channels,
          .allow_tf32 = context.device.options().allow_tf32};
}

template <class AnyOp>
MatrixProduct* product_of(const AnyOp& op, const Context& context) {
  return context.device.matrix_products().find_or_make(shape_of(op, context), context.device);
}

/// Zeros in the channels that pad each row: products write the real ones only.
void clear_padding(float* rows, const Layout& layout, cudaStream_t stream) {
  if (!layout.padded()) return;
  check(cudaMemset2DAsync(rows + layout.channels,
                          static_cast<std::size_t>(layout.stride) * sizeof(float), 0,
                          static_cast<std::size_t>(layout.stride - layout.channels) * sizeof(float),
                          static_cast<std::size_t>(layout.rows()), stream),
        "clear padding");
}

}  // namespace

Prepared prepare(const MatMul& op, const Context& context) {
  const auto* x = context.tensor(op.x).as<float>();
  const auto* w = context.tensor(op.w).as<float>();
  const auto* bias = context.values<float>(op.bias);
  auto* y = context.tensor(op.y).as<float>();
  MatrixProduct* product = product_of(op, context);
  return make_step(product->workspace_bytes(), [=, layout = context.layout(op.y),
                                                stream = context.stream()](Workspace workspace) {
    product->run(x, w, bias, y, workspace, stream);
    clear_padding(y, layout, stream);
  });
}

Prepared prepare(const MatMulBackwardData& op, const Context& context) {
  const auto* dy = context.tensor(op.dy).as<float>();
  const auto* w = context.tensor(op.w).as<float>();
  auto* dx = context.tensor(op.dx).as<float>();
  MatrixProduct* product = product_of(op, context);
  return make_step(product->workspace_bytes(), [=, layout = context.layout(op.dx),
                                                stream = context.stream()](Workspace workspace) {
    product->run(dy, w, nullptr, dx, workspace, stream);
    clear_padding(dx, layout, stream);
  });
}

Prepared prepare(const MatMulBackwardWeights& op, const Context& context) {
  const auto* x = context.tensor(op.x).as<float>();
  const auto* dy = context.tensor(op.dy).as<float>();
  auto* dw = context.tensor(op.dw).as<float>();
  auto* dbias = context.values<float>(op.dbias);
  MatrixProduct* product = product_of(op, context);
  return make_step(product->workspace_bytes(), [=, layout = context.layout(op.dy),
                                                stream = context.stream()](Workspace workspace) {
    product->run(dy, x, nullptr, dw, workspace, stream);
    if (dbias != nullptr) {
      column_sums(dy, dbias, layout.rows(), layout.channels, layout.stride, stream);
    }
  });
}

}  // namespace simclr::cuda
