#pragma once
// The backends that the tests run on: the same tests, once for each.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "simclr/backend/backend.hpp"
#include "simclr/comm/session.hpp"

namespace simclr::testing {

/// One way in which the ranks of a backend communicate.
struct RanksUnderTest {
  std::string name;
  std::unique_ptr<Backend> (*make)(const NodePlace& place);
};

struct BackendUnderTest {
  std::string name;
  std::unique_ptr<Backend> (*make)();
  std::vector<DType> activations;  ///< types that cases of mixed precision are tested in
  /// Why tests with this type of activations cannot run on this machine, or "".
  std::string (*why_skip)(DType activations);
  /// Adds a test failure where stored memory breaks the backend's own rules (padding).
  void (*check_stored)(const TensorInfo& tensor, std::span<const std::byte> stored);
};
const std::vector<BackendUnderTest>& backends_under_test();
const std::vector<RanksUnderTest>& ranks_under_test();

}  // namespace simclr::testing
