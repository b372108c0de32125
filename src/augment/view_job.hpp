#pragma once
// What the rendering kernels are given: plain data only, because they are compiled once for each
// instruction set (kernels.cpp) and must not share inline code with the rest of the program.

#include <cstddef>
#include <cstdint>

#include "simclr/augment/augmentation_parameters.hpp"
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
  bool mirrored = false;  ///< outputs in reverse order
};

/// Taps that any output of the axis needs: pixels whose centers lie within the filter's support.
int count_taps(const Axis& axis, Interpolation interpolation);

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
  Axis rows, columns;    ///< rows.count = columns.count = the view's side S
  bool resample = true;  ///< false: both axes copy, and bytes become float(byte) / 255
  Interpolation interpolation = Interpolation::bicubic;
  bool additive_brightness = false;
  Normalization normalization;
  DType dtype = DType::f32;   ///< of the view: f32, bf16 or f16
  ViewParameters parameters;  ///< everything but crop and flip, which the axes carry
};

/// Scratch memory, sized by the caller. Strips hold kWidth image rows, one in each lane of a
/// vector: strip s, column x, channel c lies at ((s * pitch + margin + x) * 3 + c) * kWidth.
struct Workspace {
  TapTable row_taps, column_taps;
  /// (columns.in, 3, kWidth), at least kWidth vectors: a strip before the horizontal resampling
  float* window = nullptr;
  float* strips = nullptr;  ///< (ceil(S / kWidth), pitch, 3, kWidth)
  float* rows = nullptr;    ///< (S, S, 3): between the passes of the blur
  int margin = 0;           ///< columns on either side of a strip: the blur kernel's radius
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
