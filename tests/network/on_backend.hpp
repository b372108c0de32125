#pragma once
// Base of tests of whole programs on the backend that this test program was built for.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "backend/backends.hpp"

namespace simclr::test {

/// Says why activations of this type cannot be tested here; "" if they can.
inline std::string why_skip(DType activations) {
  const testing::BackendUnderTest& under_test = testing::backends_under_test().front();
  const bool listed = std::ranges::count(under_test.activations, activations) > 0;
  if (!listed) return "this backend does not have activations of this type";
  return under_test.why_skip(activations);
}

/// Skips tests if there is no such device. Programs whose bits are compared share one backend
/// object: another one may choose other convolution algorithms.
class OnBackend : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = why_skip(DType::f32);
    if (!reason.empty()) GTEST_SKIP() << reason;
    backend_ = testing::backends_under_test().front().make();
  }
  [[nodiscard]] Backend& backend() const { return *backend_; }

  /// Returns the backend's types of activations that can be tested here.
  static std::vector<DType> activations() {
    std::vector<DType> types = testing::backends_under_test().front().activations;
    std::erase_if(types, [](DType type) { return !why_skip(type).empty(); });
    return types;
  }

 private:
  std::unique_ptr<Backend> backend_;
};

}  // namespace simclr::test
