#pragma once
// The file in which measured choices outlive a process.

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace simclr::cuda {

/// Choices of one machine (device, driver and library versions, as text) in a JSON file that may
/// hold those of others:
///
///     {"version": 1, "machines": {"<machine>": {"<shape>": "<choice>"}}}
///
/// Any number of processes may read and write the file: each write replaces it whole, so that a
/// reader sees one version or another. Two that write at once may lose entries of one of them,
/// which costs a measurement later. A file that cannot be read or written is a warning, never an
/// error.
class PlanCache {
 public:
  /// Without a file (an empty path) nothing is kept.
  PlanCache(std::filesystem::path file, std::string machine);

  [[nodiscard]] std::optional<std::string> find(const std::string& shape) const;
  void store(const std::string& shape, const std::string& choice);

 private:
  std::filesystem::path file_;
  std::string machine_;
  std::map<std::string, std::string> choices_;
  bool writable_ = true;
};

}  // namespace simclr::cuda
