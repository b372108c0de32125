#pragma once
// Choices of algorithms as text, and the file in which measured ones outlive a process.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace simclr::cuda {

/// An engine of an operation graph and what its knobs are set to. The numbers are cuDNN's own: they
/// name the same code for one version of the library on one model of GPU.
struct EngineChoice {
  std::int64_t engine = 0;            ///< CUDNN_ATTR_ENGINE_GLOBAL_INDEX
  std::map<int, std::int64_t> knobs;  ///< cudnnBackendKnobType_t -> value

  bool operator==(const EngineChoice&) const = default;
  /// "engine 38: knob 2=1, knob 13=4"; without knobs "engine 38".
  [[nodiscard]] std::string text() const;
  /// Nothing where `text` is not exactly what text() writes.
  static std::optional<EngineChoice> parse(std::string_view text);
};

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
