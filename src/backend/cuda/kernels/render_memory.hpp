#pragma once
// What a block of the rendering kernels needs of shared memory: the host plans with it, the kernels
// find their way in it.

#include <cstddef>

#include "render_views.hpp"
#include "simclr/core/host_device.hpp"

namespace simclr::cuda {

// Neighbouring outputs' first sources lie as far apart as their centres, rounded up; the centres'
// own rounding is far below this.
inline constexpr float kCenterRounding = 0.05F;
/// Most source samples that `outputs` neighbouring outputs are made from, and the other way round.
SIMCLR_HD inline int sources_of(const TaskAxis& axis, int outputs) {
  const float distance = static_cast<float>(outputs - 1) * axis.scale;
  return static_cast<int>(distance + kCenterRounding) + 1 + axis.taps;
}
SIMCLR_HD inline int outputs_of(const TaskAxis& axis, int sources) {
  return static_cast<int>((static_cast<float>(sources - axis.taps) - kCenterRounding) /
                          axis.scale) +
         1;
}

/// Offsets into a block's shared memory, in words of 4 bytes. What luma needs comes first.
struct TileMemory {
  int column_start;   ///< (columns): first source column of an output, from the image's left
  int column_weight;  ///< (column_taps, columns)
  int row_source;     ///< (groups of rows): SourceRows
  int row_weight;     ///< (groups of rows, row_span, kGroupRows)
  int window;         ///< (kRenderWarps, window_pitch): what a warp works with
  int plain;          ///< (groups of rows, plain_pitch): rows before the blur, with margins
  int ring;           ///< (ring_rows, ring_pitch): rows between the blur's passes
  int blur_weight;    ///< (blur_span + kBlurOutputs): padded with zeros on both sides
  int ring_row;       ///< offsets in `ring` of the rows that the blur reads next
  int words;
  int window_pitch, plain_pitch, ring_rows, ring_pitch;

  SIMCLR_HD explicit TileMemory(const TilePlan& plan) {
    constexpr int kGroups = kFilterRows / kGroupRows;
    window_pitch = 3 * kGroupRows * plan.window;
    plain_pitch = 4 * plain_vector(plan.blurred_columns() + 2);
    ring_rows = 2 * plan.radius + kRowsAtOnce + kBlurOutputs - 1;
    ring_pitch = 3 * plan.width;
    const int blur_span = round_up(2 * plan.radius + kBlurOutputs);
    const int most_rows_left = plan.radius + kRowsAtOnce + 2 * kBlurOutputs;
    column_start = 0;
    column_weight = column_start + round_up(plan.columns());
    row_source = column_weight + round_up(plan.column_taps * plan.columns());
    row_weight = row_source + 4 * kGroups;
    window = row_weight + kGroups * plan.row_span * kGroupRows;
    plain = window + kRenderWarps * window_pitch;
    ring = plain + (plan.radius > 0 ? kRowsAtOnce / kGroupRows * plain_pitch : 0);
    blur_weight = ring + (plan.radius > 0 ? ring_rows * ring_pitch : 0);
    ring_row = blur_weight + blur_span + kBlurOutputs;
    words = ring_row + round_up(most_rows_left) + blur_span;
  }
  /// Where a column of `plain` begins, in vectors of four rows. A vector is left free after every
  /// second column: threads that read from every second column then meet in no bank.
  SIMCLR_HD static int plain_vector(int column) { return 3 * column + column / 2; }

 private:
  /// To whole 16-byte vectors.
  SIMCLR_HD static int round_up(int words) { return (words + 3) / 4 * 4; }
};

}  // namespace simclr::cuda
