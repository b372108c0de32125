// The largest values of rows, for nearest neighbors.

#include <limits>

#include "kernels/sums.hpp"
#include "steps.hpp"

namespace simclr::cuda {

Prepared prepare(const TopK& op, const Context& context) {
  const TensorView values = context.tensor(op.values);
  const TensorView best = context.tensor(op.best);
  const TensorView columns = context.tensor(op.columns);
  const std::int64_t k = best.layout.channels;
  static_assert(kMostBest == TopK::kMost);
  if (k > kMostBest) {
    refuse("{} nearest neighbors in a block are asked for: the CUDA backend finds {} at most", k,
           kMostBest);
  }
  require(values.layout.stride % kChannelMultiple == 0, "rows to select from are padded");
  require(values.layout.channels <= std::numeric_limits<std::int32_t>::max() - kChannelMultiple,
          "columns are counted in 32 bits");
  require(!columns.layout.padded(), "columns are stored packed");
  const TopKArguments arguments{.values = values.as<float>(),
                                .valid = context.tensor(op.valid).as<std::int32_t>(),
                                .rows = values.layout.rows(),
                                .stride = values.layout.stride,
                                .width = static_cast<int>(values.layout.channels),
                                .best = best.as<float>(),
                                .columns = columns.as<std::int32_t>(),
                                .k = static_cast<int>(k),
                                .best_stride = static_cast<int>(best.layout.stride)};
  return make_step([=, stream = context.stream()] { top_k(arguments, stream); });
}

}  // namespace simclr::cuda
