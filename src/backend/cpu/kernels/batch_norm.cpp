// Batch normalization over runs of one channel block: one pass over memory each.

#include "block.hpp"
#include "table.hpp"

namespace simclr::SIMCLR_ISA {
namespace {

using namespace kernels;

// Sums stay in float lanes over at most this many pixels of one image, then go to double: a
// statistic depends neither on how images are spread over ranks nor on their number.
constexpr std::int64_t kFloatPixels = 128;

struct Sums {
  FloatBlock first, second;
};

// Calls add(sums, offset) for every pixel of the run, in four independent chains.
template <class Add>
SIMCLR_HD_INLINE void sum_run(const Run run, double* sums, Add&& add) {
  for (std::int64_t image = 0; image < run.images; ++image) {
    const std::int64_t base = image * run.image_stride;
    for (std::int64_t begin = 0; begin < run.pixels; begin += kFloatPixels) {
      const std::int64_t rest = run.pixels - begin;
      const std::int64_t count = rest < kFloatPixels ? rest : kFloatPixels;
      const std::int64_t offset = base + begin * kLanes;
      const Sums zero{broadcast(0.0F), broadcast(0.0F)};
      Sums a = zero, b = zero, c = zero, d = zero;
      std::int64_t p = 0;
      for (; p + 4 <= count; p += 4) {
        add(a, offset + p * kLanes);
        add(b, offset + (p + 1) * kLanes);
        add(c, offset + (p + 2) * kLanes);
        add(d, offset + (p + 3) * kLanes);
      }
      for (; p < count; ++p) add(a, offset + p * kLanes);
      add_to(sums, (a.first + b.first) + (c.first + d.first));
      add_to(sums + kLanes, (a.second + b.second) + (c.second + d.second));
    }
  }
}

// Calls visit(offset) for every pixel of the run.
template <class Visit>
SIMCLR_HD_INLINE void for_each_pixel(const Run run, Visit&& visit) {
  for (std::int64_t image = 0; image < run.images; ++image) {
    const std::int64_t base = image * run.image_stride;
#pragma GCC unroll 4
    for (std::int64_t p = 0; p < run.pixels; ++p) visit(base + p * kLanes);
  }
}

template <class T>
void statistics(const BnStatisticsArgs<T>& args) {
  const T* y = args.y;
  const FloatBlock shift = load_block(args.shift);
  sum_run(
      args.run, args.sums, [=](Sums & sums, std::int64_t i) __attribute__((always_inline)) {
        const FloatBlock centered = load_block(y + i) - shift;
        sums.first = sums.first + centered;
        sums.second = sums.second + centered * centered;
      });
}

enum class Residual { none, plain, affine };

template <class T, Residual kResidual, bool kRelu>
void apply_as(const BnApplyArgs<T>& args) {
  const T* y = args.y;
  const T* residual = args.residual;
  T* z = args.z;
  const FloatBlock scale = load_block(args.scale);
  const FloatBlock shift = load_block(args.shift);
  FloatBlock residual_scale = scale;
  FloatBlock residual_shift = shift;
  if constexpr (kResidual == Residual::affine) {
    residual_scale = load_block(args.residual_scale);
    residual_shift = load_block(args.residual_shift);
  }
  for_each_pixel(
      args.run, [=](std::int64_t i) __attribute__((always_inline)) {
        FloatBlock value = scale * load_block(y + i) + shift;
        if constexpr (kResidual == Residual::plain) value = value + load_block(residual + i);
        if constexpr (kResidual == Residual::affine) {
          value = value + (residual_scale * load_block(residual + i) + residual_shift);
        }
        store(z + i, kRelu ? relu(value) : value);
      });
}

template <class T, Residual kResidual>
void apply_with(const BnApplyArgs<T>& args) {
  args.relu ? apply_as<T, kResidual, true>(args) : apply_as<T, kResidual, false>(args);
}

template <class T>
void apply(const BnApplyArgs<T>& args) {
  if (args.residual == nullptr) {
    apply_with<T, Residual::none>(args);
  } else if (args.residual_scale == nullptr) {
    apply_with<T, Residual::plain>(args);
  } else {
    apply_with<T, Residual::affine>(args);
  }
}

enum class Mask { none, from_z, from_y };

template <class T, Mask kMask, bool kOther, bool kWriteBack>
void backward_reduce_as(const BnBackwardReduceArgs<T>& args) {
  T* dz = args.dz;
  const T* dz_other = args.dz_other;
  const T* z = args.z;
  const T* y = args.y;
  const FloatBlock scale = load_block(args.scale);
  const FloatBlock shift = load_block(args.shift);
  const FloatBlock mean = load_block(args.mean);
  sum_run(
      args.run, args.sums, [=](Sums & sums, std::int64_t i) __attribute__((always_inline)) {
        const FloatBlock value = load_block(y + i);
        FloatBlock g = load_block(dz + i);
        if constexpr (kOther) g = g + load_block(dz_other + i);
        if constexpr (kMask == Mask::from_z) g = keep_where(load_block(z + i) > broadcast(0.0F), g);
        if constexpr (kMask == Mask::from_y) {
          g = keep_where(scale * value + shift > broadcast(0.0F), g);
        }
        if constexpr (kWriteBack) store(dz + i, g);
        sums.first = sums.first + g;
        sums.second = sums.second + g * (value - mean);
      });
}

template <class T, Mask kMask, bool kOther>
void backward_reduce_with(const BnBackwardReduceArgs<T>& args) {
  args.write_back ? backward_reduce_as<T, kMask, kOther, true>(args)
                  : backward_reduce_as<T, kMask, kOther, false>(args);
}

template <class T, Mask kMask>
void backward_reduce_masked(const BnBackwardReduceArgs<T>& args) {
  args.dz_other != nullptr ? backward_reduce_with<T, kMask, true>(args)
                           : backward_reduce_with<T, kMask, false>(args);
}

template <class T>
void backward_reduce(const BnBackwardReduceArgs<T>& args) {
  if (!args.relu) {
    backward_reduce_masked<T, Mask::none>(args);
  } else if (args.z != nullptr) {
    backward_reduce_masked<T, Mask::from_z>(args);
  } else {
    backward_reduce_masked<T, Mask::from_y>(args);
  }
}

template <class T, bool kRelu>
void backward_apply_as(const BnBackwardApplyArgs<T>& args) {
  const T* dz = args.dz;
  const T* y = args.y;
  T* dy = args.dy;
  const FloatBlock scale = load_block(args.scale);
  const FloatBlock shift = load_block(args.shift);
  const FloatBlock mean = load_block(args.mean);
  const FloatBlock of_g = load_block(args.of_g);
  const FloatBlock of_y = load_block(args.of_y);
  const FloatBlock constant = load_block(args.constant);
  for_each_pixel(
      args.run, [=](std::int64_t i) __attribute__((always_inline)) {
        const FloatBlock value = load_block(y + i);
        FloatBlock g = load_block(dz + i);
        if constexpr (kRelu) g = keep_where(scale * value + shift > broadcast(0.0F), g);
        store(dy + i, of_g * g + (of_y * (value - mean) + constant));
      });
}

template <class T>
void backward_apply(const BnBackwardApplyArgs<T>& args) {
  args.relu ? backward_apply_as<T, true>(args) : backward_apply_as<T, false>(args);
}

template <class T>
BnKernels<T> kernels_for() {
  return {statistics<T>, apply<T>, backward_reduce<T>, backward_apply<T>};
}

}  // namespace

void fill_batch_norm(Table& table) {
  table.bn_f32 = kernels_for<float>();
  table.bn_bf16 = kernels_for<bf16>();
}

}  // namespace simclr::SIMCLR_ISA
