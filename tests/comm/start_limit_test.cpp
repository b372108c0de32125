// A call that does not return is reported, and one that returns is not.

#include "comm/start_limit.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>

namespace simclr {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(StartLimitTest, ActionsRunInOrderWhileTheCallLasts) {
  std::string done;
  std::promise<void> last;
  const auto begin = std::chrono::steady_clock::now();
  const StartLimit limit({{milliseconds(20), [&] { done += "warned "; }}, {milliseconds(50), [&] {
                                                                             done += "ended";
                                                                             last.set_value();
                                                                           }}});
  ASSERT_EQ(last.get_future().wait_for(seconds(60)), std::future_status::ready);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(50));
  EXPECT_EQ(done, "warned ended");
}

TEST(StartLimitTest, NothingHappensToACallThatReturns) {
  std::string done;
  const auto begin = std::chrono::steady_clock::now();
  {
    const StartLimit limit({{hours(1), [&] { done += "warned"; }}});
  }
  EXPECT_EQ(done, "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(60));  // it does not wait either
}

}  // namespace
}  // namespace simclr
