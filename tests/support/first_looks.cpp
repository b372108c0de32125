// Starts the process that looks at files first before any test starts a thread. A fork of a process
// with threads inherits the locks of AddressSanitizer as they are at that moment, and a child waits
// forever for one that another thread was holding.

#include <gtest/gtest.h>

#include "simclr/io/first_look.hpp"

namespace simclr {
namespace {

class FirstLooks : public testing::Environment {
 public:
  void SetUp() override { start_first_looks(); }
};

[[maybe_unused]] const testing::Environment* const kFirstLooks =
    testing::AddGlobalTestEnvironment(new FirstLooks);  // GoogleTest deletes it

}  // namespace
}  // namespace simclr
