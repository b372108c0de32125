#pragma once
// Damaged variants of valid files, as a pure function of a number.

#include <cstdint>
#include <string>
#include <vector>

namespace simclr::fuzz {

/// What variants are made of.
struct Corpus {
  std::vector<std::string> seeds;  ///< valid files, at least one
  std::vector<std::string> words;  ///< texts that mean something in the format
};

/// Variant number `index`: one of the seeds with up to eight changes of bits, numbers, ranges and
/// words. The same arguments give the same bytes on every machine.
std::string variant(const Corpus& corpus, std::uint64_t index);

}  // namespace simclr::fuzz
