#pragma once
// Where an evaluation's result goes: never over that of another evaluation.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/io/fingerprint.hpp"

namespace simclr {

/// What was evaluated, as the result says it: `protocol`, `checkpoint_hash`, the data sets
/// (`train_data` and `test_data`, or `data`) each with its hash (`data_hash`), and `options`, and
/// the `defaults` of these: a result of an earlier version, which had no such option, counts as
/// made with its default. A result with the same values may be replaced.
using EvaluationIdentity = nlohmann::ordered_json;

/// All options with their values, as results have them.
nlohmann::ordered_json options_json(const NamedValues& values);

/// Returns RUN/eval for RUN/checkpoints/step-0000000100.h5. Refuses a file elsewhere.
std::filesystem::path result_directory(const std::filesystem::path& checkpoint);

/// Returns DIRECTORY/NAME.json, or a longer name if this file holds the result of another
/// evaluation: with the data set or the options that differ, or else with a number.
std::filesystem::path free_result_file(const std::filesystem::path& directory,
                                       const std::string& name, const EvaluationIdentity& identity);

/// Refuses a file that holds anything but a result of the same evaluation.
void require_own_result(const std::filesystem::path& file, const std::string& option,
                        const EvaluationIdentity& identity);

/// Adds the members of the JSON object `measured` to a result: lists to `lists`, which end the file
/// because they are long, all others to `values`.
void add_measured(const std::string& measured, nlohmann::ordered_json& values,
                  nlohmann::ordered_json& lists);

/// The text of a result file: the members of the object `values`, then those of `lists`, which are
/// lists of values, or of such lists, each in one line.
std::string result_text(const nlohmann::ordered_json& values, const nlohmann::ordered_json& lists);

}  // namespace simclr
