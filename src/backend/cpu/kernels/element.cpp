// Pooling, joins, rectifiers and packing: short loops over 16 channels at a time.

#include "block.hpp"
#include "table.hpp"

namespace simclr::SIMCLR_ISA {
namespace {

using namespace kernels;

/// The window positions that lie inside [0, size), given the first one: [begin, end).
struct WindowRange {
  int begin, end;
};
SIMCLR_HD_INLINE WindowRange inside(int origin, int kernel, int size) {
  return {origin < 0 ? -origin : 0, origin + kernel > size ? size - origin : kernel};
}

template <class T>
void max_pool(const PoolGeometry& g, const T* x, T* y, std::uint8_t* argmax) {
  for (int i = 0; i < g.out_height; ++i) {
    const int row = i * g.stride - g.padding;
    const WindowRange rows = inside(row, g.kernel, g.height);
    for (int j = 0; j < g.out_width; ++j) {
      const int column = j * g.stride - g.padding;
      const WindowRange columns = inside(column, g.kernel, g.width);
      FloatBlock best = broadcast(0.0F);
      IntBlock where = broadcast(-1);
      for (int r = rows.begin; r < rows.end; ++r) {
        for (int s = columns.begin; s < columns.end; ++s) {
          const FloatBlock value = load_block(x + ((row + r) * g.width + column + s) * kLanes);
          // NaN wins, as in every other op: it is not to be lost.
          const IntBlock better = (value > best) | (value != value) | (where == broadcast(-1));
          best = select(better, value, best);
          where = select(better, broadcast(r * g.kernel + s), where);
        }
      }
      const int out = (i * g.out_width + j) * kLanes;
      store(y + out, best);
      store(argmax + out, where);
    }
  }
}

/// Outputs whose window covers input position `at`: [begin, end).
SIMCLR_HD_INLINE WindowRange covering(int at, const PoolGeometry& g, int outputs) {
  const int first = at + g.padding - g.kernel + 1;
  const int begin = first <= 0 ? 0 : (first + g.stride - 1) / g.stride;
  const int end = (at + g.padding) / g.stride + 1;
  return {begin, end < outputs ? end : outputs};
}

// Gathers: every input pixel sums the windows that chose it, in a fixed order.
template <class T>
void max_pool_backward(const PoolGeometry& g, const T* dy, const std::uint8_t* argmax, T* dx) {
  for (int h = 0; h < g.height; ++h) {
    const WindowRange rows = covering(h, g, g.out_height);
    for (int w = 0; w < g.width; ++w) {
      const WindowRange columns = covering(w, g, g.out_width);
      FloatBlock sum = broadcast(0.0F);
      for (int i = rows.begin; i < rows.end; ++i) {
        for (int j = columns.begin; j < columns.end; ++j) {
          const int r = h + g.padding - i * g.stride;
          const int s = w + g.padding - j * g.stride;
          const int out = (i * g.out_width + j) * kLanes;
          const IntBlock chosen = load_block(argmax + out) == broadcast(r * g.kernel + s);
          sum = sum + keep_where(chosen, load_block(dy + out));
        }
      }
      store(dx + (h * g.width + w) * kLanes, sum);
    }
  }
}

/// 1 over what the sum of window (i, j) is divided by.
SIMCLR_HD_INLINE float window_factor(const PoolGeometry& g, bool whole_windows, int i, int j) {
  const WindowRange rows = inside(i * g.stride - g.padding, g.kernel, g.height);
  const WindowRange columns = inside(j * g.stride - g.padding, g.kernel, g.width);
  const int pixels =
      whole_windows ? g.kernel * g.kernel : (rows.end - rows.begin) * (columns.end - columns.begin);
  return 1.0F / static_cast<float>(pixels);
}

template <class T>
void avg_pool(const PoolGeometry& g, bool whole_windows, const T* x, T* y) {
  for (int i = 0; i < g.out_height; ++i) {
    const int row = i * g.stride - g.padding;
    const WindowRange rows = inside(row, g.kernel, g.height);
    for (int j = 0; j < g.out_width; ++j) {
      const int column = j * g.stride - g.padding;
      const WindowRange columns = inside(column, g.kernel, g.width);
      FloatBlock sum = broadcast(0.0F);
      for (int r = rows.begin; r < rows.end; ++r) {
        for (int s = columns.begin; s < columns.end; ++s) {
          sum = sum + load_block(x + ((row + r) * g.width + column + s) * kLanes);
        }
      }
      store(y + (i * g.out_width + j) * kLanes,
            sum * broadcast(window_factor(g, whole_windows, i, j)));
    }
  }
}

template <class T>
void avg_pool_backward(const PoolGeometry& g, bool whole_windows, const T* dy, T* dx) {
  for (int h = 0; h < g.height; ++h) {
    const WindowRange rows = covering(h, g, g.out_height);
    for (int w = 0; w < g.width; ++w) {
      const WindowRange columns = covering(w, g, g.out_width);
      FloatBlock sum = broadcast(0.0F);
      for (int i = rows.begin; i < rows.end; ++i) {
        for (int j = columns.begin; j < columns.end; ++j) {
          sum = sum + load_block(dy + (i * g.out_width + j) * kLanes) *
                          broadcast(window_factor(g, whole_windows, i, j));
        }
      }
      store(dx + (h * g.width + w) * kLanes, sum);
    }
  }
}

template <class T>
void average(const T* z, std::int64_t pixels, int streams, std::int64_t stride, float* h) {
  FloatBlock sum = broadcast(0.0F);
  for (int s = 0; s < streams; ++s) {
    for (std::int64_t p = 0; p < pixels; ++p) sum = sum + load_block(z + s * stride + p * kLanes);
  }
  store(h, sum * broadcast(1.0F / static_cast<float>(pixels)));
}

template <class T>
void spread(const float* dh, std::int64_t pixels, T* dz) {
  const FloatBlock share = load_block(dh) * broadcast(1.0F / static_cast<float>(pixels));
  for (std::int64_t p = 0; p < pixels; ++p) store(dz + p * kLanes, share);
}

template <class T>
void select_stream(const float* a, const T* x0, const T* x1, std::int64_t pixels, T* y) {
  const FloatBlock first = load_block(a);
  const FloatBlock second = load_block(a + kLanes);
  for (std::int64_t i = 0; i < pixels * kLanes; i += kLanes) {
    store(y + i, first * load_block(x0 + i) + second * load_block(x1 + i));
  }
}

template <class T>
void select_stream_backward(const SelectBackwardArgs<T>& args) {
  const FloatBlock first = load_block(args.a);
  const FloatBlock second = load_block(args.a + kLanes);
  FloatBlock sum = broadcast(0.0F);
  for (std::int64_t i = 0; i < args.pixels * kLanes; i += kLanes) {
    const FloatBlock dy = load_block(args.dy + i);
    sum = sum + dy * (load_block(args.x0 + i) - load_block(args.x1 + i));
    store(args.dx0 + i, first * dy);
    store(args.dx1 + i, second * dy);
  }
  store(args.sum, sum);
}

template <class T>
void add_into(const T* from, T* into, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes)
    store(into + i, load_block(into + i) + load_block(from + i));
}

template <class T>
void rectify(const T* y, T* z, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) store(z + i, relu(load_block(y + i)));
}

template <class T>
void rectify_backward(const T* dz, const T* z, T* dy, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    store(dy + i, keep_where(load_block(z + i) > broadcast(0.0F), load_block(dz + i)));
  }
}

template <class T>
void unzip_rgb(const T* interleaved, std::int64_t pixels, T* planes) {
  for (std::int64_t p = 0; p < pixels; ++p) {
    planes[p] = interleaved[3 * p];
    planes[pixels + p] = interleaved[3 * p + 1];
    planes[2 * pixels + p] = interleaved[3 * p + 2];
  }
}

template <class T>
ElementKernels<T> kernels_for() {
  return {.max_pool = max_pool<T>,
          .max_pool_backward = max_pool_backward<T>,
          .avg_pool = avg_pool<T>,
          .avg_pool_backward = avg_pool_backward<T>,
          .average = average<T>,
          .spread = spread<T>,
          .select = select_stream<T>,
          .select_backward = select_stream_backward<T>,
          .add_into = add_into<T>,
          .relu = rectify<T>,
          .relu_backward = rectify_backward<T>,
          .unzip_rgb = unzip_rgb<T>};
}

}  // namespace

void fill_element(Table& table) {
  table.element_f32 = kernels_for<float>();
  table.element_bf16 = kernels_for<bf16>();
}

}  // namespace simclr::SIMCLR_ISA
