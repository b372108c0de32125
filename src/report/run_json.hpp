#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>

#include "run_data.hpp"

namespace simclr {

/// Most points of a curve.
inline constexpr std::size_t kMostPoints = 1000;

/// Returns what report.html shows of a run:
///   name, seconds (training time), epochs (to do), unreadable: [file, ...]
///   state: {status, reason, step, restarts}
///   step: [...], columns: {name: {values: [...], least: [...], greatest: [...]}}: a point a row;
///     where there are more than kMostPoints rows, a point stands for a stretch of rows: their last
///     step, mean, least and greatest value. Otherwise `least` and `greatest` are left out. null is
///     a value that is absent or not finite.
///   restarts: [{number, step}]: the checkpoint that a start of the program resumed from
///   levels: [{column, value, name}]: values to compare a column with
///   evaluations: [{name, protocol, top1, untrained_top1 or null, top5, samples, test_data,
///     checkpoint}], the newest first; fractions
///   configuration, options, environment: [[name, value], ...], without empty values
nlohmann::ordered_json run_json(const RunData& run);

}  // namespace simclr
