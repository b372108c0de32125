// Updates of one chunk of the flat buffers; the element formulas are shared with the CUDA kernels.

#include "../../optimizer_math.hpp"
#include "table.hpp"

namespace simclr::SIMCLR_ISA {
namespace {

using namespace kernels;

void lars_norms(const float* w, const float* g, std::int64_t count, float gradient_factor,
                float decay, double* norms) {
  double of_w = 0;
  double of_g = 0;
#pragma omp simd reduction(+ : of_w, of_g)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto wi = static_cast<double>(w[i]);
    const auto gi =
        static_cast<double>(optimizer_math::decayed(w[i], gradient_factor * g[i], decay));
    of_w += wi * wi;
    of_g += gi * gi;
  }
  norms[0] = of_w;
  norms[1] = of_g;
}

void lars(float* __restrict w, const float* __restrict g, float* __restrict v, std::int64_t count,
          float gradient_factor, float rate, float momentum, float decay) {
  for (std::int64_t i = 0; i < count; ++i) {
    optimizer_math::lars(w[i], gradient_factor * g[i], v[i], rate, momentum, decay);
  }
}

template <bool kNesterov>
void sgd_as(float* __restrict w, const float* __restrict g, float* __restrict v, std::int64_t count,
            float gradient_factor, float rate, float momentum, float decay) {
  for (std::int64_t i = 0; i < count; ++i) {
    optimizer_math::sgd<kNesterov>(w[i], gradient_factor * g[i], v[i], rate, momentum, decay);
  }
}
void sgd(float* w, const float* g, float* v, std::int64_t count, float gradient_factor, float rate,
         float momentum, float decay, bool nesterov) {
  nesterov ? sgd_as<true>(w, g, v, count, gradient_factor, rate, momentum, decay)
           : sgd_as<false>(w, g, v, count, gradient_factor, rate, momentum, decay);
}

void adamw(float* __restrict w, const float* __restrict g, float* __restrict m, float* __restrict v,
           std::int64_t count, const AdamwFactors& f) {
  const AdamwFactors factors = f;
  for (std::int64_t i = 0; i < count; ++i) {
    optimizer_math::adamw(w[i], factors.gradient * g[i], m[i], v[i], factors.learning_rate,
                          factors.beta1, factors.beta2, factors.epsilon, factors.weight_decay,
                          factors.correction1, factors.correction2);
  }
}

}  // namespace

void fill_optimizer(Table& table) { table.optimizer = {lars_norms, lars, sgd, adamw}; }

}  // namespace simclr::SIMCLR_ISA
