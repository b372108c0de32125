#pragma once
// Lists of the labeled samples that a classifier learns from (option --labels-file).

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "simclr/io/shard_set.hpp"

namespace simclr {

/// Reads a text file with one sample a line: all names or all global indices into `set` (digits
/// alone are an index). Blank lines and spaces around an entry do not count. A name is the base
/// name of the image, which is the part after the last '/' of a stored name; an entry may have a
/// path before it, which does not count. So the 1 % and 10 % lists of ImageNet fit a set that was
/// packed from its folders.
///
/// Returns ascending indices. Throws RefusedError that names the file and the line: for a sample
/// that the set does not have or that has no label, one that is listed twice, a base name of
/// several samples, names for a set without names, names mixed with indices, and an empty file.
/// Warns when classes of the set have no sample in the list.
std::vector<std::int64_t> read_label_list(const std::filesystem::path& file, const ShardSet& set);

/// A hash of chosen samples in sixteen hexadecimal digits: XXH3 of the indices as 64-bit
/// little-endian integers, in the order given.
std::string selection_hash(std::span<const std::int64_t> samples);

}  // namespace simclr
