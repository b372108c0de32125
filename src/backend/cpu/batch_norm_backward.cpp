// Batch normalization, backward: local sums, then the gradient of the input.

#include "batch_norm.hpp"

namespace simclr::cpu {

namespace {

template <class T>
struct ReduceOperands {
  T* dz = nullptr;
  const T* dz_other = nullptr;
  const T* z = nullptr;
  const T* y = nullptr;
  GroupRows<const float> affine, saved;
  bool relu = false;
  bool write_back = false;

  std::int64_t groups = 1;
  GroupRows<double> sums;
  float* dgamma = nullptr;
  float* dbeta = nullptr;  // or null
};

template <class T>
void run_reduce(const Tiles& tiles, const ReduceOperands<T>& o, double* partials) {
  const std::int64_t channels = tiles.layout.channels;
  for_each_tile(tiles, [&](const ImageRun& run, std::int64_t block, std::int64_t tile) {
    const std::int64_t offset = tiles.offset(run, block);
    const auto at = [offset](auto* tensor) {
      return tensor == nullptr ? nullptr : tensor + offset;
    };
    const ChannelBlock scale(o.affine.first(run.group), channels, block);
    const ChannelBlock shift(o.affine.second(run.group), channels, block);
    const ChannelBlock mean(o.saved.first(run.group), channels, block);
    double* sums = partials + tile * kPartial;
    std::fill_n(sums, kPartial, 0.0);
    kernels::batch_norm<T>().backward_reduce({.run = tiles.kernel_run(run),
                                              .dz = at(o.dz),
                                              .dz_other = at(o.dz_other),
                                              .z = at(o.z),
                                              .y = at(o.y),
                                              .scale = scale.data(),
                                              .shift = shift.data(),
                                              .mean = mean.data(),
                                              .sums = sums,
                                              .relu = o.relu,
                                              .write_back = o.write_back});
  });
  combine_partials(tiles, partials, o.sums, o.groups, [&](std::int64_t group, std::int64_t c) {
    return double{o.saved.second(group)[c]};
  });
  for (std::int64_t c = 0; c < channels; ++c) {
    double of_gamma = 0;
    double of_beta = 0;
    for (std::int64_t group = 0; group < o.groups; ++group) {
      of_beta += o.sums.first(group)[c];
      of_gamma += o.sums.second(group)[c];
    }
    o.dgamma[c] = static_cast<float>(of_gamma);
    if (o.dbeta != nullptr) o.dbeta[c] = static_cast<float>(of_beta);
  }
}

}  // namespace

Prepared prepare(const BnBackwardReduce& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  require_blocked(y);
  const std::int64_t channels = y.layout.channels;
  return for_activation_type(y.layout.dtype, [&]<class T>(T) {
    const ReduceOperands<T> operands{
        .dz = context.tensor(op.dz).as<T>(),
        .dz_other = context.values<T>(op.dz_other),
        .z = context.values<T>(op.z),
        .y = y.as<T>(),
        .affine = group_rows<const float>(context.tensor(op.affine), channels),
        .saved = group_rows<const float>(context.tensor(op.saved), channels),
        .relu = op.relu,
        .write_back = op.write_back,
        .groups = op.groups.groups,
        .sums = group_rows<double>(context.tensor(op.sums), channels),
        .dgamma = context.tensor(op.dgamma).as<float>(),
        .dbeta = context.values<float>(op.dbeta)};
    const Tiles tiles = make_tiles(y.layout, op.groups, context.threads);
    return make_step(partial_bytes(tiles), [=](Workspace workspace) {
      run_reduce(tiles, operands, reinterpret_cast<double*>(workspace.data()));
    });
  });
}

namespace {

template <class T>
struct GradientOperands {
  const T *dz = nullptr, *y = nullptr;
  T* dy = nullptr;
  GroupRows<const float> affine, saved;
  const float* gamma = nullptr;
  GroupRows<const double> sums;
  double count = 1;
  bool relu = false;
};

// dy = of_g*g + of_y*(y - mean) + constant
struct Coefficients {
  ChannelBlock of_g, of_y, constant;
};

template <class T>
Coefficients coefficients(const GradientOperands<T>& o, std::int64_t group, std::int64_t block) {
  Coefficients result;
  const std::int64_t begin = block * kBlock;
  const std::int64_t end = std::min(begin + kBlock, o.sums.channels);
  for (std::int64_t c = begin; c < end; ++c) {
    const auto lane = static_cast<std::size_t>(c - begin);
    const double istd = o.saved.second(group)[c];
    const double scale = o.gamma[c] * istd;
    result.of_g.value[lane] = static_cast<float>(scale);
    result.of_y.value[lane] = static_cast<float>(-scale * istd * o.sums.second(group)[c] / o.count);
    result.constant.value[lane] = static_cast<float>(-scale * o.sums.first(group)[c] / o.count);
  }
  return result;
}

template <class T>
void run_gradient(const Tiles& tiles, const GradientOperands<T>& o) {
  const std::int64_t channels = tiles.layout.channels;
  for_each_tile(tiles, [&](const ImageRun& run, std::int64_t block, std::int64_t) {
    const std::int64_t offset = tiles.offset(run, block);
    const ChannelBlock scale(o.affine.first(run.group), channels, block);
    const ChannelBlock shift(o.affine.second(run.group), channels, block);
    const ChannelBlock mean(o.saved.first(run.group), channels, block);
    const Coefficients factors = coefficients(o, run.group, block);
    kernels::batch_norm<T>().backward_apply({.run = tiles.kernel_run(run),
                                             .dz = o.dz + offset,
                                             .y = o.y + offset,
                                             .dy = o.dy + offset,
                                             .scale = scale.data(),
                                             .shift = shift.data(),
                                             .mean = mean.data(),
                                             .of_g = factors.of_g.data(),
                                             .of_y = factors.of_y.data(),
                                             .constant = factors.constant.data(),
                                             .relu = o.relu});
  });
}

}  // namespace

Prepared prepare(const BnBackwardApply& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  require_blocked(y);
  const std::int64_t channels = y.layout.channels;
  return for_activation_type(y.layout.dtype, [&]<class T>(T) {
    const GradientOperands<T> operands{
        .dz = context.tensor(op.dz).as<T>(),
        .y = y.as<T>(),
        .dy = context.tensor(op.dy).as<T>(),
        .affine = group_rows<const float>(context.tensor(op.affine), channels),
        .saved = group_rows<const float>(context.tensor(op.saved), channels),
        .gamma = context.tensor(op.gamma).as<float>(),
        .sums = group_rows<const double>(context.tensor(op.sums), channels),
        .count = op.count,
        .relu = op.relu};
    return make_step([=, tiles = make_tiles(y.layout, op.groups, context.threads)] {
      run_gradient(tiles, operands);
    });
  });
}

}  // namespace simclr::cpu
