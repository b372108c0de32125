#pragma once
// Convolutions: y[v,i,j,k] = sum over r,s,c of
//   x[v, i*stride - padding + r, j*stride - padding + s, c] w[k,r,s,c], and their gradients.

#include "reference/memory.hpp"

namespace simclr::reference {

/// Calls f(v, i, j, k, h, w, r, s, c) for every product of the sum above, with output pixel (i,j)
/// and input pixel (h,w) inside the image.
template <class F>
void for_each_product(const Shape& x, const Shape& filter, const Shape& y,
                      const ConvGeometry& geometry, F&& f) {
  for (std::int64_t v = 0; v < y[0]; ++v)
    for (std::int64_t i = 0; i < y[1]; ++i)
      for (std::int64_t j = 0; j < y[2]; ++j)
        for (std::int64_t r = 0; r < filter[1]; ++r)
          for (std::int64_t s = 0; s < filter[2]; ++s) {
            const std::int64_t h = i * geometry.stride - geometry.padding + r;
            const std::int64_t w = j * geometry.stride - geometry.padding + s;
            if (h < 0 || h >= x[1] || w < 0 || w >= x[2]) continue;
            for (std::int64_t k = 0; k < filter[0]; ++k)
              for (std::int64_t c = 0; c < filter[3]; ++c) f(v, i, j, k, h, w, r, s, c);
          }
}

template <class T>
void fill_zero(const Values<T>& values) {
  for (T& value : values.flat()) value = T(0);
}

template <class T>
void reference(const ConvForward& op, Memory<T>& memory) {
  const auto x = memory[op.x];
  const auto w = memory[op.w];
  const auto y = memory[op.y];
  fill_zero(y);
  for_each_product(x.shape(), w.shape(), y.shape(), op.geometry,
                   [&](auto v, auto i, auto j, auto k, auto h, auto col, auto r, auto s, auto c) {
                     y(v, i, j, k) += x(v, h, col, c) * w(k, r, s, c);
                   });
}

template <class T>
void reference(const ConvBackwardData& op, Memory<T>& memory) {
  const auto dy = memory[op.dy];
  const auto w = memory[op.w];
  const auto dx = memory[op.dx];
  fill_zero(dx);
  for_each_product(dx.shape(), w.shape(), dy.shape(), op.geometry,
                   [&](auto v, auto i, auto j, auto k, auto h, auto col, auto r, auto s, auto c) {
                     dx(v, h, col, c) += dy(v, i, j, k) * w(k, r, s, c);
                   });
}

template <class T>
void reference(const ConvBackwardWeights& op, Memory<T>& memory) {
  const auto x = memory[op.x];
  const auto dy = memory[op.dy];
  const auto dw = memory[op.dw];
  fill_zero(dw);
  for_each_product(x.shape(), dw.shape(), dy.shape(), op.geometry,
                   [&](auto v, auto i, auto j, auto k, auto h, auto col, auto r, auto s, auto c) {
                     dw(k, r, s, c) += dy(v, i, j, k) * x(v, h, col, c);
                   });
}

}  // namespace simclr::reference
