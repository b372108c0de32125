#pragma once
// What the rendering kernels are given: plain data only, because they are compiled once for each
// instruction set (kernels.cpp) and must not share inline code with the rest of the program.

#include <cstddef>
#include <cstdint>

#include "simclr/augment/view_parameters.hpp"
#include "simclr/tensor/dtype.hpp"

namespace simclr::augment {

/// Most lanes of any instruction set's vectors; buffers are aligned and padded for it.
inline constexpr int kMaxLanes = 16;

/// One axis of a separable resampling: outputs [first, first + count) of a signal of `in` samples
/// that is resized to `out` samples.
struct Axis {
  int in = 0;
  int out = 0;
  int first = 0;
  int count = 0;
};

/// The weights of a resampling. TensorFlow's reach as far as the filter does at the input's scale,
/// torchvision's as far as at the coarser one of both scales (antialiasing).
struct ResamplingFilter {
  Interpolation interpolation = Interpolation::bicubic;
  AugmentSemantics semantics = AugmentSemantics::torchvision;
};

/// Taps that any output of the axis needs: pixels whose centers lie within the filter's support.
int count_taps(const Axis& axis, ResamplingFilter filter);

/// A part of an image that becomes S x S pixels.
struct Resampling {
  Axis rows, columns;
  bool copies = false;  ///< both axes copy, and stored bytes become float(byte) / 255
  ResamplingFilter filter;
  int row_taps = 1, column_taps = 1;
};

/// The last arithmetic on a view's values: (x - mean) / std. Both arrays hold kMaxLanes + 2 floats,
/// that of channel i % 3 at i: a vector may start at any channel. Null: values stay as they are.
struct Normalization {
  const float* mean = nullptr;
  const float* std = nullptr;
};

/// Filter taps of an axis. Output i is the sum over t of weight[t * stride + i] * input[start[i] +
/// t].
struct TapTable {
  int taps = 0;
  int stride = 0;  ///< count rounded up to kMaxLanes
  std::int32_t* start = nullptr;
  float* weight = nullptr;
};

struct ViewJob {
  const std::uint8_t* pixels = nullptr;  ///< first pixel of the source window, RGB interleaved
  std::ptrdiff_t row_bytes = 0;
  int side = 0;                    ///< S
  Resampling base;                 ///< of the stored image
  Resampling crop;                 ///< of the view so far, S x S, by the operation crop
  std::ptrdiff_t crop_offset = 0;  ///< of the crop's first value among those of the view, S x S x 3
  AugmentSemantics semantics = AugmentSemantics::torchvision;
  bool additive_brightness = false;
  float cutout_fill = 0.5F;
  Normalization normalization;
  DType dtype = DType::f32;   ///< of the view: f32, bf16 or f16
  ViewParameters parameters;  ///< everything but the base crop, which `base` and `pixels` carry
};

/// Scratch memory, sized by the caller. Strips hold kWidth image rows, one in each lane of a
/// vector: strip s, column x, channel c lies at ((s * pitch + margin + x) * 3 + c) * kWidth. Null
/// where the job needs none.
struct Workspace {
  TapTable row_taps, column_taps;  ///< of the base and, after it, of the crop
  /// (columns, 3, kWidth), at least kWidth vectors: a strip before the horizontal resampling
  float* window = nullptr;
  float* strips = nullptr;  ///< (ceil(S / kWidth), pitch, 3, kWidth)
  float* turned = nullptr;  ///< as large: where a rotation writes
  /// (S, S, 3) each: two results of horizontal passes, and an image between operations
  float* rows = nullptr;
  float* more_rows = nullptr;
  float* image = nullptr;
  int margin = 0;  ///< columns on either side of a strip: as far as a filter reaches
};

/// out: (S, S, 3) of job.dtype, rounded to nearest even; within [0, 1] before the normalization.
using RenderFunction = void (*)(const ViewJob&, const Workspace&, void* out);

struct Kernels {
  const char* name;  ///< of the instruction set
  RenderFunction render;
};

/// The fastest kernels first; only those that instruction_set() includes. Never empty.
struct KernelList {
  const Kernels* first;
  int count;
};
KernelList available_kernels();

}  // namespace simclr::augment
