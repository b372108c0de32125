#pragma once
// What the rendering kernels are given: plain data only, because they are compiled once for each
// instruction set (kernels.cpp) and must not share inline code with the rest of the program.

#include <cstddef>
#include <cstdint>

#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/augment/view_geometry.hpp"

namespace simclr::augment {

/// Most lanes of any instruction set's vectors; buffers are aligned and padded for it.
inline constexpr int kMaxLanes = 16;

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
  ViewParameters parameters;  ///< everything but crop and flip, which the axes carry
};

/// Scratch memory, sized by the caller. Strips hold kLanes image rows, one in each lane of a
/// vector: strip s, column x, channel c lies at ((s * pitch + margin + x) * 3 + c) * kLanes.
struct Workspace {
  TapTable row_taps, column_taps;
  /// (columns.in, 3, kLanes), at least kLanes vectors: a strip before the horizontal resampling
  float* window = nullptr;
  float* strips = nullptr;  ///< (ceil(S / kLanes), pitch, 3, kLanes)
  float* rows = nullptr;    ///< (S, S, 3): between the passes of the blur
  int margin = 0;           ///< columns on either side of a strip: the blur kernel's radius
};

/// out: f32 (S, S, 3), clamped to [0, 1].
using RenderFunction = void (*)(const ViewJob&, const Workspace&, float* out);

struct Kernels {
  const char* name;  ///< of the instruction set
  int lanes;
  RenderFunction render;
};

/// The fastest kernels first; only those that instruction_set() includes. Never empty.
struct KernelList {
  const Kernels* first;
  int count;
};
KernelList available_kernels();

}  // namespace simclr::augment
