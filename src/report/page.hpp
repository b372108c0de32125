#pragma once
// The data of report.html, and the page that is its template filled with them.

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

namespace simclr {

struct RunData;

/// Limit of the points of a curve.
inline constexpr std::size_t kMaxPoints = 1000;

/// Returns the data of a run for report.html:
///   name, seconds (training time), epochs (to do; "" if --schedule-steps says it), unreadable:
///   [file, ...] state: {status, reason, step, restarts} step: [...], columns: {name: {values:
///   [...], least: [...], greatest: [...]}}: one point per
///     row. With more than kMaxPoints rows, a point has the last step and the mean, least and
///     greatest value of several rows; otherwise `least` and `greatest` are left out. null is a
///     value that is missing or non-finite.
///   restarts: [{number, step}]: the step of the checkpoint from which a restart resumed
///   levels: [{column, value, name}]: values for comparison with a column
///   evaluations: [{name, protocol, top1, untrained_top1 or null, top5, samples, test_data,
///     checkpoint}], newest first; accuracies are fractions
///   configuration, options, environment: [[name, value], ...], without empty values
nlohmann::ordered_json run_json(const RunData& run);

/// The text of report.html in this folder; the text "DATA" in an element marks the place of the
/// data.
std::string_view page_template();

/// Puts `data` into the template. Escapes text that could end the data's element; replaces bytes
/// that are not UTF-8 by U+FFFD.
std::string fill_page(const nlohmann::ordered_json& data);

/// Encodes as RFC 4648 does, with padding.
std::string base64(std::span<const std::byte> bytes);

}  // namespace simclr
