#pragma once
// Tests of whole programs on the backend that this test program is about.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "backend/backends.hpp"

namespace simclr::test {

/// Why activations of this type cannot be tested here, or "".
inline std::string why_skip(DType activations) {
  const testing::BackendUnderTest& under_test = testing::backends_under_test().front();
  const bool listed = std::ranges::count(under_test.activations, activations) > 0;
  if (!listed) return "this backend does not have such activations";
  return under_test.why_skip(activations);
}

/// Skipped where there is no such device. Programs that have to agree to the bit run on one
/// backend: another one may choose other convolution algorithms.
class OnBackend : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = why_skip(DType::f32);
    if (!reason.empty()) GTEST_SKIP() << reason;
    backend_ = testing::backends_under_test().front().make();
  }
  [[nodiscard]] Backend& backend() const { return *backend_; }

  /// The types of activations, of those the backend has, that can be tested here.
  static std::vector<DType> activations() {
    std::vector<DType> types = testing::backends_under_test().front().activations;
    std::erase_if(types, [](DType type) { return !why_skip(type).empty(); });
    return types;
  }

 private:
  std::unique_ptr<Backend> backend_;
};

}  // namespace simclr::test
