#pragma once
// A choice of cuDNN's algorithm as text, for plan caches and checkpoints.

#include <compare>
#include <cstdint>
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

}  // namespace simclr::cuda
