#pragma once
// Where an evaluation's result goes: never over that of another evaluation.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "simclr/io/fingerprint.hpp"

namespace simclr {

/// What was evaluated, as the result says it: `protocol`, `checkpoint_hash`, `train_data_hash`,
/// `test_data_hash` and `options`. A result with the same values may be replaced.
using EvaluationIdentity = nlohmann::ordered_json;

/// A hash of a data set's fingerprint, as results hold it.
std::string hash_text(const Fingerprint& fingerprint);

/// Returns DIRECTORY/NAME.json, or a longer name if this file holds the result of another
/// evaluation: with the data set or the options that differ, or else with a number.
std::filesystem::path free_result_file(const std::filesystem::path& directory,
                                       const std::string& name, const EvaluationIdentity& identity);

/// Refuses a file that holds anything but a result of the same evaluation.
void require_own_result(const std::filesystem::path& file, const std::string& option,
                        const EvaluationIdentity& identity);

/// The text of a result file: the members of the object `values`, then those of `lists`, which are
/// lists of numbers, or of such lists, each in one line.
std::string result_text(const nlohmann::ordered_json& values, const nlohmann::ordered_json& lists);

}  // namespace simclr
