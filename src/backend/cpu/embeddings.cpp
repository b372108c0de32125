// Unit vectors and how far they spread.

#include <algorithm>
#include <array>
#include <cmath>

#include "steps.hpp"

namespace simclr::cpu {

// Rows of embeddings are short (128), so plain loops in double do.

Prepared prepare(const L2Normalize& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  require_blocked(z);
  auto* inverse_norm = context.tensor(op.inverse_norm).as<float>();
  return make_step([=, z_data = z.as<float>(), u = context.tensor(op.u).as<float>(),
                    rows = z.layout.images, stride = z.layout.padded_channels(),
                    threads = context.threads] {
    for_each_index(rows, threads, [&](std::int64_t row) {
      const float* from = z_data + row * stride;
      float* to = u + row * stride;
      double square = 0;
      for (std::int64_t d = 0; d < stride; ++d) square += double{from[d]} * double{from[d]};
      const double norm = std::sqrt(square);
      const double inverse = 1 / (norm < 1e-12 ? 1e-12 : norm);  // NaN stays NaN
      for (std::int64_t d = 0; d < stride; ++d) to[d] = static_cast<float>(from[d] * inverse);
      inverse_norm[row] = static_cast<float>(inverse);
    });
  });
}

namespace {

constexpr std::int64_t kColumns = 16;  // that a thread adds up at a time

}  // namespace

Prepared prepare(const ColumnDeviation& op, const Context& context) {
  const TensorView u = context.tensor(op.u);
  require_blocked(u);
  const auto bytes = static_cast<std::size_t>(u.layout.channels) * sizeof(double);
  return make_step(
      bytes, [u_data = u.as<float>(), deviation = context.tensor(op.deviation).as<double>(),
              rows = u.layout.images, columns = u.layout.channels,
              stride = u.layout.padded_channels(), threads = context.threads](Workspace workspace) {
        auto* deviations = reinterpret_cast<double*>(workspace.data());
        for_each_index((columns + kColumns - 1) / kColumns, threads, [&](std::int64_t block) {
          const std::int64_t first = block * kColumns;
          const std::int64_t count = std::min(kColumns, columns - first);
          std::array<double, kColumns> sums{}, squares{};
          for (std::int64_t row = 0; row < rows; ++row) {
            const float* values = u_data + row * stride + first;
            for (std::int64_t c = 0; c < count; ++c) {
              const auto at = static_cast<std::size_t>(c);
              sums[at] += double{values[c]};
              squares[at] += double{values[c]} * double{values[c]};
            }
          }
          for (std::int64_t c = 0; c < count; ++c) {
            const auto at = static_cast<std::size_t>(c);
            const double mean = sums[at] / static_cast<double>(rows);
            const double variance = squares[at] / static_cast<double>(rows) - mean * mean;
            deviations[first + c] = std::sqrt(variance < 0 ? 0 : variance);  // NaN stays NaN
          }
        });
        double sum = 0;
        for (std::int64_t c = 0; c < columns; ++c) sum += deviations[c];
        *deviation = sum / static_cast<double>(columns);
      });
}

Prepared prepare(const L2NormalizeBackward& op, const Context& context) {
  const TensorView u = context.tensor(op.u);
  require_blocked(u);
  const auto* inverse_norm = context.tensor(op.inverse_norm).as<float>();
  return make_step([=, u_data = u.as<float>(), du = context.tensor(op.du).as<float>(),
                    dz = context.tensor(op.dz).as<float>(), rows = u.layout.images,
                    stride = u.layout.padded_channels(), threads = context.threads] {
    for_each_index(rows, threads, [&](std::int64_t row) {
      const float* unit = u_data + row * stride;
      const float* gradient = du + row * stride;
      double along = 0;
      for (std::int64_t d = 0; d < stride; ++d) along += double{unit[d]} * double{gradient[d]};
      for (std::int64_t d = 0; d < stride; ++d) {
        dz[row * stride + d] =
            static_cast<float>((gradient[d] - unit[d] * along) * inverse_norm[row]);
      }
    });
  });
}

}  // namespace simclr::cpu
