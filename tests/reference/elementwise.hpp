#pragma once
// Pooling, the choice between streams, sums, ReLU and the packing of images.

#include <cmath>

#include "reference/batch_norm.hpp"
#include "reference/memory.hpp"

namespace simclr::reference {

template <class T>
void reference(const PackInput& op, Memory<T>& memory) {
  const auto x = memory[op.x].flat();
  const auto views = memory[op.views].flat();
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = views[i];
}

/// Calls visit(input row, input column, index in the window) for every pixel in an output's window.
template <class Visit>
void for_each_in_window(const ConvGeometry& g, const Shape& input, std::int64_t i, std::int64_t j,
                        Visit&& visit) {
  for (int r = 0; r < g.kernel; ++r)
    for (int s = 0; s < g.kernel; ++s) {
      const std::int64_t h = i * g.stride - g.padding + r;
      const std::int64_t w = j * g.stride - g.padding + s;
      if (h >= 0 && h < input[1] && w >= 0 && w < input[2]) visit(h, w, r * g.kernel + s);
    }
}

template <class T>
void reference(const MaxPool& op, Memory<T>& memory) {
  const auto x = memory[op.x];
  const auto y = memory[op.y];
  const auto argmax = memory[op.argmax];
  for (std::int64_t v = 0; v < y.extent(0); ++v)
    for (std::int64_t i = 0; i < y.extent(1); ++i)
      for (std::int64_t j = 0; j < y.extent(2); ++j)
        for (std::int64_t c = 0; c < y.extent(3); ++c) {
          bool first = true;
          for_each_in_window(op.geometry, x.shape(), i, j, [&](auto h, auto w, int index) {
            const T value = x(v, h, w, c);
            if (!first && !(real_part(value) > real_part(y(v, i, j, c)))) return;
            first = false;
            y(v, i, j, c) = value;
            argmax(v, i, j, c) = T(index);
          });
        }
}

template <class T>
void reference(const MaxPoolBackward& op, Memory<T>& memory) {
  const auto dy = memory[op.dy];
  const auto argmax = memory[op.argmax];
  const auto dx = memory[op.dx];
  std::ranges::fill(dx.flat(), T(0));
  for (std::int64_t v = 0; v < dy.extent(0); ++v)
    for (std::int64_t i = 0; i < dy.extent(1); ++i)
      for (std::int64_t j = 0; j < dy.extent(2); ++j)
        for (std::int64_t c = 0; c < dy.extent(3); ++c)
          for_each_in_window(op.geometry, dx.shape(), i, j, [&](auto h, auto w, int index) {
            if (real_part(argmax(v, i, j, c)) == index) dx(v, h, w, c) += dy(v, i, j, c);
          });
}

/// What the sum of window (i, j) is divided by.
inline double window_divisor(const ConvGeometry& g, bool whole_windows, const Shape& input,
                             std::int64_t i, std::int64_t j) {
  if (whole_windows) return g.kernel * g.kernel;
  int pixels = 0;
  for_each_in_window(g, input, i, j, [&](auto, auto, int) { ++pixels; });
  return pixels;
}

template <class T>
void reference(const AvgPool& op, Memory<T>& memory) {
  const auto x = memory[op.x];
  const auto y = memory[op.y];
  for (std::int64_t v = 0; v < y.extent(0); ++v)
    for (std::int64_t i = 0; i < y.extent(1); ++i)
      for (std::int64_t j = 0; j < y.extent(2); ++j)
        for (std::int64_t c = 0; c < y.extent(3); ++c) {
          T sum(0);
          for_each_in_window(op.geometry, x.shape(), i, j,
                             [&](auto h, auto w, int) { sum += x(v, h, w, c); });
          y(v, i, j, c) = sum / T(window_divisor(op.geometry, op.whole_windows, x.shape(), i, j));
        }
}

template <class T>
void reference(const AvgPoolBackward& op, Memory<T>& memory) {
  const auto dy = memory[op.dy];
  const auto dx = memory[op.dx];
  std::ranges::fill(dx.flat(), T(0));
  for (std::int64_t v = 0; v < dy.extent(0); ++v)
    for (std::int64_t i = 0; i < dy.extent(1); ++i)
      for (std::int64_t j = 0; j < dy.extent(2); ++j) {
        const T divisor(window_divisor(op.geometry, op.whole_windows, dx.shape(), i, j));
        for (std::int64_t c = 0; c < dy.extent(3); ++c)
          for_each_in_window(op.geometry, dx.shape(), i, j, [&](auto h, auto w, int) {
            dx(v, h, w, c) += dy(v, i, j, c) / divisor;
          });
      }
}

template <class T>
void reference(const GlobalAvgPool& op, Memory<T>& memory) {
  const Pixels<T> z(memory[op.z]);
  const auto h = memory[op.h];
  std::ranges::fill(h.flat(), T(0));
  for_each_element(z, {}, [&](auto v, auto p, auto c, auto) {
    h(v, c % h.extent(1)) += z(v, p, c) / T(static_cast<double>(z.pixels()));
  });
}

template <class T>
void reference(const GlobalAvgPoolBackward& op, Memory<T>& memory) {
  const Pixels<T> dz(memory[op.dz]);
  const auto dh = memory[op.dh];
  for_each_element(dz, {}, [&](auto v, auto p, auto c, auto) {
    dz(v, p, c) = dh(v, c % dh.extent(1)) / T(static_cast<double>(dz.pixels()));
  });
}

/// The part of stream 0 or 1 at channel c.
template <class T>
T share(const Values<T>& m, std::int64_t v, std::int64_t c, int stream) {
  using std::exp;
  const T difference = m(v, m.extent(1) / 2 + c) - m(v, c);
  return T(1) / (T(1) + exp(stream == 0 ? difference : -difference));
}

template <class T>
void reference(const SelectStreams& op, Memory<T>& memory) {
  const Pixels<T> x(memory[op.x]);
  const Pixels<T> y(memory[op.y]);
  const auto m = memory[op.m];
  for_each_element(y, {}, [&](auto v, auto p, auto c, auto) {
    y(v, p, c) = share(m, v, c, 0) * x(v, p, c) + share(m, v, c, 1) * x(v, p, y.channels() + c);
  });
}

template <class T>
void reference(const SelectStreamsBackward& op, Memory<T>& memory) {
  const Pixels<T> x(memory[op.x]);
  const Pixels<T> dx(memory[op.dx]);
  const Pixels<T> dy(memory[op.dy]);
  const auto m = memory[op.m];
  const auto dm = memory[op.dm];
  std::ranges::fill(dm.flat(), T(0));
  const std::int64_t channels = dy.channels();
  for_each_element(dy, {}, [&](auto v, auto p, auto c, auto) {
    const T first = share(m, v, c, 0);
    const T second = share(m, v, c, 1);
    dx(v, p, c) = first * dy(v, p, c);
    dx(v, p, channels + c) = second * dy(v, p, c);
    const T g = first * second * dy(v, p, c) * (x(v, p, c) - x(v, p, channels + c));
    dm(v, c) += g;
    dm(v, channels + c) -= g;
  });
}

template <class T>
void reference(const AddInto& op, Memory<T>& memory) {
  const auto from = memory[op.from].flat();
  const auto into = memory[op.into].flat();
  for (std::size_t i = 0; i < into.size(); ++i) into[i] += from[i];
}

template <class T>
void reference(const Relu& op, Memory<T>& memory) {
  const auto y = memory[op.y].flat();
  const auto z = memory[op.z].flat();
  for (std::size_t i = 0; i < z.size(); ++i) z[i] = real_part(y[i]) > 0 ? y[i] : T(0);
}

template <class T>
void reference(const ReluBackward& op, Memory<T>& memory) {
  const auto dz = memory[op.dz].flat();
  const auto z = memory[op.z].flat();
  const auto dy = memory[op.dy].flat();
  for (std::size_t i = 0; i < dy.size(); ++i) dy[i] = real_part(z[i]) > 0 ? dz[i] : T(0);
}

}  // namespace simclr::reference
