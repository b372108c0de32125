#pragma once
// What turns up while images are packed: damaged ones, and things that the pixels do not show.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "image_source.hpp"

namespace simclr {

/// Damaged samples by number, with what is wrong with each.
using Damages = std::map<std::int64_t, std::string>;

/// Returns the damages of all ranks on every rank. Collective.
Damages gather_damages(Communicator& world, const Damages& own);

/// Writes the list of damaged samples: a line for each, with its name, a tab and what is wrong.
void write_damages(const std::filesystem::path& file, const ImageSource& source,
                   const Damages& damages);

/// "3 of 20 images cannot be read: a/1.jpg (...), ... and 1 more" with the first 20.
std::string describe_damages(const ImageSource& source, const Damages& damages);

/// Counts what users should know of the packed images.
class Tally {
 public:
  void count(std::int64_t sample, const DecodingNotes& notes, bool enlarged);
  /// Logs what any rank has counted, a line for each kind. Collective.
  void report(Communicator& world, const ImageSource& source, std::int64_t samples,
              std::int64_t short_side) const;

 private:
  std::int64_t enlarged_ = 0, deep_ = 0, with_warning_ = 0;
  DecodingNotes::Range deep_range_{UINT16_MAX, 0};
  std::int64_t first_with_warning_ = INT64_MAX;
  std::string first_warning_;
};

}  // namespace simclr
