// Batch normalization, forward: statistics, finalisation, application.

#include "batch_norm.hpp"

#include <cmath>

namespace simclr::cpu {

Tiles make_tiles(const Layout& layout, const BnGroups& groups, int threads) {
  constexpr std::int64_t kPixels = 256;
  Tiles tiles{.layout = layout,
              .threads = threads,
              .part_images = layout.images,
              .run_images = std::max<std::int64_t>(1, kPixels / layout.pixels())};
  if (groups.groups == 1) return tiles;
  require(layout.images % groups.samples == 0 && groups.samples % groups.groups == 0,
          "batch-normalization groups are equal parts of the samples");
  tiles.groups = groups.groups;
  tiles.part_images = groups.samples / groups.groups;
  return tiles;
}

namespace {

template <class T>
void run_statistics(const Tiles& tiles, const T* y, const float* shift, double* partials,
                    GroupRows<double> stats, std::int64_t groups) {
  for_each_tile(tiles, [&](const ImageRun& run, std::int64_t block, std::int64_t tile) {
    const ChannelBlock shifts(shift, stats.channels, block);
    double* sums = partials + tile * kPartial;
    std::fill_n(sums, kPartial, 0.0);
    kernels::batch_norm<T>().statistics({.run = tiles.kernel_run(run),
                                         .y = y + tiles.offset(run, block),
                                         .shift = shifts.data(),
                                         .sums = sums});
  });
  combine_partials(tiles, partials, stats, groups, [](std::int64_t, std::int64_t) { return 1.0; });
}

}  // namespace

Prepared prepare(const BnStatistics& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  require_blocked(y);
  const Tiles tiles = make_tiles(y.layout, op.groups, context.threads);
  const auto stats = group_rows<double>(context.tensor(op.stats), y.layout.channels);
  const auto* shift = context.tensor(op.running_mean).as<float>();
  return for_activation_type(y.layout.dtype, [&]<class T>(T) {
    return make_step(partial_bytes(tiles),
                     [=, y = y.as<T>(), groups = op.groups.groups](Workspace workspace) {
                       auto* partials = reinterpret_cast<double*>(workspace.data());
                       run_statistics<T>(tiles, y, shift, partials, stats, groups);
                     });
  });
}

Prepared prepare(const BnFinalize& op, const Context& context) {
  const std::int64_t channels = context.info(op.gamma).shape.elements();
  const auto stats = group_rows<const double>(context.tensor(op.stats), channels);
  const auto* gamma = context.tensor(op.gamma).as<float>();
  const auto* beta = context.values<float>(op.beta);
  auto* running_mean = context.tensor(op.running_mean).as<float>();
  auto* running_var = context.tensor(op.running_var).as<float>();
  const auto affine = group_rows<float>(context.tensor(op.affine), channels);
  const auto saved = group_rows<float>(context.tensor(op.saved), channels);
  return make_step([=, groups = op.groups, count = op.count, epsilon = double{op.epsilon},
                    momentum = double{op.momentum}] {
    const double unbiased = count / std::max(count - 1, 1.0);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double shift = running_mean[c];  // the one BnStatistics used
      double mean_of_groups = 0;
      double var_of_groups = 0;
      for (int g = 0; g < groups; ++g) {
        const double offset = stats.first(g)[c] / count;
        const double difference = stats.second(g)[c] / count - offset * offset;
        const double var = difference < 0 ? 0 : difference;  // rounding only; NaN stays
        const double mean = shift + offset;
        const double istd = 1 / std::sqrt(var + epsilon);
        const double scale = gamma[c] * istd;
        affine.first(g)[c] = static_cast<float>(scale);
        affine.second(g)[c] = static_cast<float>((beta == nullptr ? 0.0 : beta[c]) - mean * scale);
        saved.first(g)[c] = static_cast<float>(mean);
        saved.second(g)[c] = static_cast<float>(istd);
        mean_of_groups += mean / groups;
        var_of_groups += var * unbiased / groups;
      }
      running_mean[c] =
          static_cast<float>((1 - momentum) * running_mean[c] + momentum * mean_of_groups);
      running_var[c] =
          static_cast<float>((1 - momentum) * running_var[c] + momentum * var_of_groups);
    }
  });
}

Prepared prepare(const BnInference& op, const Context& context) {
  const std::int64_t channels = context.info(op.gamma).shape.elements();
  const auto* gamma = context.tensor(op.gamma).as<float>();
  const auto* beta = context.values<float>(op.beta);
  const auto* mean = context.tensor(op.running_mean).as<float>();
  const auto* var = context.tensor(op.running_var).as<float>();
  const auto affine = group_rows<float>(context.tensor(op.affine), channels);
  return make_step([=, epsilon = double{op.epsilon}] {
    for (std::int64_t c = 0; c < channels; ++c) {
      const double scale = gamma[c] / std::sqrt(var[c] + epsilon);
      affine.first(0)[c] = static_cast<float>(scale);
      affine.second(0)[c] = static_cast<float>((beta == nullptr ? 0.0 : beta[c]) - mean[c] * scale);
    }
  });
}

namespace {

template <class T>
struct ApplyOperands {
  const T* y = nullptr;
  GroupRows<const float> affine;
  const T* residual = nullptr;
  GroupRows<const float> residual_affine;  // data null: the residual as it is
  bool relu = false;
  T* z = nullptr;
};

template <class T>
void run_apply(const Tiles& tiles, const ApplyOperands<T>& operands) {
  const std::int64_t channels = tiles.layout.channels;
  for_each_tile(tiles, [&](const ImageRun& run, std::int64_t block, std::int64_t) {
    const std::int64_t offset = tiles.offset(run, block);
    const ChannelBlock scale(operands.affine.first(run.group), channels, block);
    const ChannelBlock shift(operands.affine.second(run.group), channels, block);
    kernels::BnApplyArgs<T> args{
        .run = tiles.kernel_run(run),
        .y = operands.y + offset,
        .residual = operands.residual == nullptr ? nullptr : operands.residual + offset,
        .z = operands.z + offset,
        .scale = scale.data(),
        .shift = shift.data(),
        .residual_scale = nullptr,
        .residual_shift = nullptr,
        .relu = operands.relu};
    ChannelBlock residual_scale;
    ChannelBlock residual_shift;
    if (operands.residual_affine.data != nullptr) {
      residual_scale = {operands.residual_affine.first(run.group), channels, block};
      residual_shift = {operands.residual_affine.second(run.group), channels, block};
      args.residual_scale = residual_scale.data();
      args.residual_shift = residual_shift.data();
    }
    kernels::batch_norm<T>().apply(args);
  });
}

}  // namespace

Prepared prepare(const BnApply& op, const Context& context) {
  const TensorView y = context.tensor(op.y);
  require_blocked(y);
  const std::int64_t channels = y.layout.channels;
  const auto rows = [&](std::optional<TensorId> id) {
    return id ? group_rows<const float>(context.tensor(*id), channels) : GroupRows<const float>{};
  };
  return for_activation_type(y.layout.dtype, [&]<class T>(T) {
    const ApplyOperands<T> operands{.y = y.as<T>(),
                                    .affine = rows(op.affine),
                                    .residual = context.values<T>(op.residual),
                                    .residual_affine = rows(op.residual_affine),
                                    .relu = op.relu,
                                    .z = context.tensor(op.z).as<T>()};
    return make_step([=, tiles = make_tiles(y.layout, op.groups, context.threads)] {
      run_apply(tiles, operands);
    });
  });
}

}  // namespace simclr::cpu
