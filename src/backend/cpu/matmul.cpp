// Linear layers: f32 matrix products by oneDNN's sgemm (row-major), rows padded to whole blocks.

#include <algorithm>

#include "onednn.hpp"
#include "steps.hpp"

namespace simclr::cpu {

namespace {

Matrix matrix(const TensorView& tensor) {
  return {.data = tensor.as<float>(),
          .rows = tensor.layout.images,
          .columns = tensor.layout.channels,
          .stride = tensor.layout.padded_channels()};
}

/// Fills rows with the bias, if any, and the padding with zeros.
void start_rows(const Matrix& y, const float* bias) {
  if (bias == nullptr && y.stride == y.columns) return;
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < y.rows; ++row) {
    float* out = y.data + row * y.stride;
    if (bias != nullptr) std::copy_n(bias, y.columns, out);
    std::fill(out + y.columns, out + y.stride, 0.0F);
  }
}

void column_sums(const Matrix& from, float* sums) {
#pragma omp parallel for schedule(static)
  for (std::int64_t column = 0; column < from.columns; ++column) {
    double sum = 0;
    for (std::int64_t row = 0; row < from.rows; ++row) sum += from.data[row * from.stride + column];
    sums[column] = static_cast<float>(sum);
  }
}

}  // namespace

Prepared prepare(const MatMul& op, const Context& context) {
  const Matrix x = matrix(context.tensor(op.x));
  const Matrix w = matrix(context.tensor(op.w));
  const Matrix y = matrix(context.tensor(op.y));
  const float* bias = context.values<float>(op.bias);
  return make_step([=] {
    start_rows(y, bias);
    multiply_matrices(Form::plain, x, Form::transposed, w, y, bias != nullptr);
  });
}

Prepared prepare(const MatMulBackwardData& op, const Context& context) {
  const Matrix dy = matrix(context.tensor(op.dy));
  const Matrix w = matrix(context.tensor(op.w));
  const Matrix dx = matrix(context.tensor(op.dx));
  return make_step([=] {
    start_rows(dx, nullptr);
    multiply_matrices(Form::plain, dy, Form::plain, w, dx, false);
  });
}

Prepared prepare(const MatMulBackwardWeights& op, const Context& context) {
  const Matrix x = matrix(context.tensor(op.x));
  const Matrix dy = matrix(context.tensor(op.dy));
  const Matrix dw = matrix(context.tensor(op.dw));
  auto* dbias = context.values<float>(op.dbias);
  return make_step([=] {
    multiply_matrices(Form::transposed, dy, Form::plain, x, dw, false);
    if (dbias != nullptr) column_sums(dy, dbias);
  });
}

}  // namespace simclr::cpu
