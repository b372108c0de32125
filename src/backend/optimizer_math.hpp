#pragma once
// What an optimizer does to one element; see program/ops.hpp for the formulas. Called by the CPU
// kernels and by the CUDA kernels.

#include "simclr/core/host_device.hpp"

namespace simclr::optimizer_math {

SIMCLR_HD_INLINE float square_root(float x) {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(x);
#else
  return __builtin_sqrtf(x);
#endif
}

/// The gradient with L2 decay.
SIMCLR_HD_INLINE float decayed(float w, float g, float decay) { return g + decay * w; }

/// `rate` is the learning rate times the layer's trust ratio.
SIMCLR_HD_INLINE void lars(float& w, float g, float& v, float rate, float momentum, float decay) {
  v = momentum * v + rate * decayed(w, g, decay);
  w -= v;
}

template <bool kNesterov>
SIMCLR_HD_INLINE void sgd(float& w, float g, float& v, float rate, float momentum, float decay) {
  const float gradient = decayed(w, g, decay);
  v = momentum * v + gradient;
  w -= rate * (kNesterov ? gradient + momentum * v : v);
}

/// m and v are the first and second moments; correction_i = 1/(1 - beta_i^t).
SIMCLR_HD_INLINE void adamw(float& w, float g, float& m, float& v, float rate, float beta1,
                            float beta2, float epsilon, float decay, float correction1,
                            float correction2) {
  m = beta1 * m + (1 - beta1) * g;
  v = beta2 * v + (1 - beta2) * g * g;
  const float denominator = square_root(v * correction2) + epsilon;
  w = w - rate * decay * w - rate * correction1 * m / denominator;
}

}  // namespace simclr::optimizer_math
