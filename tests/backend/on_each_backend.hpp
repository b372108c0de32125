#pragma once
// Tests that run once on each of the backends under test:
//   class Something : public OnEachBackend { ... };
//   INSTANTIATE_TEST_SUITE_P(Backends, Something, each_backend(), name_of_backend);

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>

#include "backend/backends.hpp"

namespace simclr::testing {

/// Skipped where there is no such device.
class OnEachBackend : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    const std::string reason = under_test().why_skip(DType::f32);
    if (!reason.empty()) GTEST_SKIP() << reason;
    backend_ = under_test().make();
  }
  static const BackendUnderTest& under_test() { return backends_under_test()[GetParam()]; }

  std::unique_ptr<Backend> backend_;
};

inline auto each_backend() {
  return ::testing::Range(std::size_t{0}, backends_under_test().size());
}
inline std::string name_of_backend(const ::testing::TestParamInfo<std::size_t>& entry) {
  return backends_under_test()[entry.param].name;
}

}  // namespace simclr::testing
