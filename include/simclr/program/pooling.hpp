#pragma once
// Windows over images: maxima, means, and the choice between the two streams of selective kernels.
// Shapes as in ops.hpp.

#include <string_view>

#include "simclr/tensor/tensor.hpp"

namespace simclr {

/// Windows of convolutions and pooling over a square of pixels.
struct ConvGeometry {
  int kernel = 1, stride = 1, padding = 0;
};

/// y (V,H',W',C) = maxima of windows, cut at x's edges; argmax u8 = r*kernel + s of the first.
struct MaxPool {
  static constexpr std::string_view kVerb = "max_pool";
  TensorId x, y, argmax;
  ConvGeometry geometry;
  static void fields(auto& o, auto& v) { v.reads(o.x), v.writes(o.y, o.argmax); }
};
struct MaxPoolBackward {
  static constexpr std::string_view kVerb = "max_pool_backward";
  TensorId dy, argmax, dx;
  ConvGeometry geometry;
  static void fields(auto& o, auto& v) { v.reads(o.dy, o.argmax), v.writes(o.dx); }
};

/// y (V,H',W',C) = sums of windows, cut at x's edges, divided by the pixels summed; with
/// `whole_windows` by kernel^2, as if x were surrounded by zeros.
struct AvgPool {
  static constexpr std::string_view kVerb = "avg_pool";
  TensorId x, y;
  ConvGeometry geometry;
  bool whole_windows = false;
  static void fields(auto& o, auto& v) { v.reads(o.x), v.writes(o.y); }
};
struct AvgPoolBackward {
  static constexpr std::string_view kVerb = "avg_pool_backward";
  TensorId dy, dx;
  ConvGeometry geometry;
  bool whole_windows = false;
  static void fields(auto& o, auto& v) { v.reads(o.dy), v.writes(o.dx); }
};

/// h f32 (V,C) = means over the pixels of z (V,H,W,C); of z (V,H,W,S*C), the sum of the means of
/// its S streams, whose channels follow each other. With several streams C is a multiple of
/// kStreamChannels.
struct GlobalAvgPool {
  static constexpr std::string_view kVerb = "global_avg_pool";
  TensorId z, h;
  static void fields(auto& o, auto& v) { v.reads(o.z), v.writes(o.h); }
};
/// Every stream of dz has the same gradient.
struct GlobalAvgPoolBackward {
  static constexpr std::string_view kVerb = "global_avg_pool_backward";
  TensorId dh, dz;
  static void fields(auto& o, auto& v) { v.reads(o.dh), v.writes(o.dz); }
};

/// Channels of a stream come in whole blocks of this many, so that backends find the same block of
/// each stream.
inline constexpr int kStreamChannels = 16;

/// Selective kernels (Li et al. 2019, with two streams): y (V,H,W,C) = a x0 + (1-a) x1, where x
/// (V,H,W,2C) is [x0 | x1], m f32 (V,2C) is [m0 | m1], and a (V,C) is the first part of the softmax
/// over m0 and m1: 1/(1 + exp(m1 - m0)). C is a multiple of kStreamChannels.
struct SelectStreams {
  static constexpr std::string_view kVerb = "select_streams";
  TensorId x, m, y;
  static void fields(auto& o, auto& v) { v.reads(o.x, o.m), v.writes(o.y); }
};
/// dx = [a dy | (1-a) dy], dm = [g | -g] with g = a (1-a) times the sum over pixels of
/// dy (x0 - x1).
struct SelectStreamsBackward {
  static constexpr std::string_view kVerb = "select_streams_backward";
  TensorId dy, x, m, dx, dm;
  static void fields(auto& o, auto& v) { v.reads(o.dy, o.x, o.m), v.writes(o.dx, o.dm); }
};

}  // namespace simclr
