#pragma once
// The files of a study's directory.

#include <string>
#include <vector>

namespace simclr {

/// The study file with all that it refers to.
inline constexpr const char* kStudyFile = "study.cfg";

/// Options that the study sets for each work, or that would let cells overwrite each other's files.
std::vector<std::string> options_of_study(bool has_pretraining);

}  // namespace simclr
