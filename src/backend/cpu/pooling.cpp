// Pooling, and the choice between the streams of selective kernels.

#include <array>
#include <cmath>

#include "kernels/table.hpp"
#include "steps.hpp"

namespace simclr::cpu {
namespace {

/// A step over `count` images and channel blocks: make(T{}), with T the element type of `tensor`,
/// gives visit(index).
template <class Make>
Prepared step_by_block(const TensorView& tensor, std::int64_t count, int threads,
                       const Make& make) {
  require_blocked(tensor);
  return for_activation_type(tensor.layout.dtype, [&](auto type) {
    return make_step(
        [visit = make(type), count, threads] { for_each_index(count, threads, visit); });
  });
}
/// The same over those of `tensor`.
template <class Make>
Prepared step_by_block(const TensorView& tensor, int threads, const Make& make) {
  return step_by_block(tensor, tensor.layout.images * tensor.layout.blocks(), threads, make);
}

/// Elements of one channel block of an image.
std::int64_t block_elements(const TensorView& tensor) { return tensor.layout.pixels() * kBlock; }

/// How many streams lie side by side in the channels of `all`, each like `one`.
int streams_of(const TensorView& all, const TensorView& one) {
  const std::int64_t streams = all.layout.channels / one.layout.channels;
  require(streams * one.layout.channels == all.layout.channels &&
              (streams == 1 || one.layout.channels % kBlock == 0),
          "streams consist of whole channel blocks");
  return static_cast<int>(streams);
}

/// a = 1/(1 + exp(m1 - m0)) of 16 channels, then 1-a. Each is computed by itself, so that a small
/// one has all its digits.
std::array<float, 2 * kBlock> shares_of(const float* m0, const float* m1) {
  std::array<float, 2 * kBlock> a{};
  for (std::size_t i = 0; i < kBlock; ++i) {
    a[i] = 1.0F / (1.0F + std::exp(m1[i] - m0[i]));
    a[kBlock + i] = 1.0F / (1.0F + std::exp(m0[i] - m1[i]));
  }
  return a;
}

}  // namespace

Prepared prepare(const MaxPool& op, const Context& context) {
  const TensorView x = context.tensor(op.x);
  const TensorView y = context.tensor(op.y);
  auto* argmax = context.tensor(op.argmax).as<std::uint8_t>();
  return step_by_block(x, context.threads, [&]<class T>(T) {
    return [=, geometry = pool_shape<kernels::PoolGeometry>(op.geometry, x.layout, y.layout),
            from = x.as<T>(), to = y.as<T>(), in = block_elements(x),
            out = block_elements(y)](std::int64_t i) {
      kernels::element<T>().max_pool(geometry, from + i * in, to + i * out, argmax + i * out);
    };
  });
}

Prepared prepare(const MaxPoolBackward& op, const Context& context) {
  const TensorView dx = context.tensor(op.dx);
  const TensorView dy = context.tensor(op.dy);
  const auto* argmax = context.tensor(op.argmax).as<std::uint8_t>();
  return step_by_block(dx, context.threads, [&]<class T>(T) {
    return [=, geometry = pool_shape<kernels::PoolGeometry>(op.geometry, dx.layout, dy.layout),
            from = dy.as<T>(), to = dx.as<T>(), in = block_elements(dx),
            out = block_elements(dy)](std::int64_t i) {
      kernels::element<T>().max_pool_backward(geometry, from + i * out, argmax + i * out,
                                              to + i * in);
    };
  });
}

Prepared prepare(const AvgPool& op, const Context& context) {
  const TensorView x = context.tensor(op.x);
  const TensorView y = context.tensor(op.y);
  return step_by_block(x, context.threads, [&]<class T>(T) {
    return [geometry = pool_shape<kernels::PoolGeometry>(op.geometry, x.layout, y.layout),
            whole = op.whole_windows, from = x.as<T>(), to = y.as<T>(), in = block_elements(x),
            out = block_elements(y)](std::int64_t i) {
      kernels::element<T>().avg_pool(geometry, whole, from + i * in, to + i * out);
    };
  });
}

Prepared prepare(const AvgPoolBackward& op, const Context& context) {
  const TensorView dx = context.tensor(op.dx);
  const TensorView dy = context.tensor(op.dy);
  return step_by_block(dx, context.threads, [&]<class T>(T) {
    return [geometry = pool_shape<kernels::PoolGeometry>(op.geometry, dx.layout, dy.layout),
            whole = op.whole_windows, from = dy.as<T>(), to = dx.as<T>(), in = block_elements(dx),
            out = block_elements(dy)](std::int64_t i) {
      kernels::element<T>().avg_pool_backward(geometry, whole, from + i * out, to + i * in);
    };
  });
}

Prepared prepare(const GlobalAvgPool& op, const Context& context) {
  const TensorView z = context.tensor(op.z);
  const TensorView h = context.tensor(op.h);
  const int streams = streams_of(z, h);
  const std::int64_t blocks = h.layout.blocks();
  return step_by_block(z, h.layout.images * blocks, context.threads, [&]<class T>(T) {
    return [=, from = z.as<T>(), to = h.as<float>(), block = block_elements(z),
            pixels = z.layout.pixels()](std::int64_t i) {
      const std::int64_t first = i / blocks * blocks * streams + i % blocks;
      kernels::element<T>().average(from + first * block, pixels, streams, blocks * block,
                                    to + i * kBlock);
    };
  });
}

Prepared prepare(const GlobalAvgPoolBackward& op, const Context& context) {
  const TensorView dz = context.tensor(op.dz);
  const TensorView dh = context.tensor(op.dh);
  const int streams = streams_of(dz, dh);
  const std::int64_t blocks = dh.layout.blocks();
  return step_by_block(dz, context.threads, [&]<class T>(T) {
    return [=, from = dh.as<float>(), to = dz.as<T>(), block = block_elements(dz),
            pixels = dz.layout.pixels()](std::int64_t i) {
      const std::int64_t image = i / (blocks * streams);
      kernels::element<T>().spread(from + (image * blocks + i % blocks) * kBlock, pixels,
                                   to + i * block);
    };
  });
}

Prepared prepare(const SelectStreams& op, const Context& context) {
  const TensorView x = context.tensor(op.x);
  const TensorView y = context.tensor(op.y);
  require(streams_of(x, y) == 2, "two streams are selected from");
  const auto* m = context.tensor(op.m).as<float>();
  const std::int64_t blocks = y.layout.blocks();
  return step_by_block(y, context.threads, [&]<class T>(T) {
    return [=, from = x.as<T>(), to = y.as<T>(), block = block_elements(y),
            pixels = y.layout.pixels()](std::int64_t i) {
      const std::int64_t first = i / blocks * 2 * blocks + i % blocks;
      const std::int64_t second = first + blocks;
      const auto a = shares_of(m + first * kBlock, m + second * kBlock);
      kernels::element<T>().select(a.data(), from + first * block, from + second * block, pixels,
                                   to + i * block);
    };
  });
}

Prepared prepare(const SelectStreamsBackward& op, const Context& context) {
  const TensorView dx = context.tensor(op.dx);
  const TensorView dy = context.tensor(op.dy);
  require(streams_of(dx, dy) == 2, "two streams are selected from");
  const auto* m = context.tensor(op.m).as<float>();
  auto* dm = context.tensor(op.dm).as<float>();
  const std::int64_t blocks = dy.layout.blocks();
  return step_by_block(dy, context.threads, [&]<class T>(T) {
    return [=, x = context.tensor(op.x).as<T>(), from = dy.as<T>(), to = dx.as<T>(),
            block = block_elements(dy), pixels = dy.layout.pixels()](std::int64_t i) {
      const std::int64_t first = i / blocks * 2 * blocks + i % blocks;
      const std::int64_t second = first + blocks;
      const auto a = shares_of(m + first * kBlock, m + second * kBlock);
      std::array<float, kBlock> sum{};
      kernels::element<T>().select_backward({.a = a.data(),
                                             .dy = from + i * block,
                                             .x0 = x + first * block,
                                             .x1 = x + second * block,
                                             .pixels = pixels,
                                             .dx0 = to + first * block,
                                             .dx1 = to + second * block,
                                             .sum = sum.data()});
      for (std::size_t lane = 0; lane < sum.size(); ++lane) {
        const float g = a[lane] * a[kBlock + lane] * sum[lane];
        dm[first * kBlock + static_cast<std::int64_t>(lane)] = g;
        dm[second * kBlock + static_cast<std::int64_t>(lane)] = -g;
      }
    };
  });
}

}  // namespace simclr::cpu
