#include "simclr/core/foreign_text.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>

#include "simclr/core/checked.hpp"

namespace simclr {
namespace {

TEST(Printable, KeepsTextAndEscapesWhatATerminalObeys) {
  EXPECT_EQ(printable("caf\u00e9 \u5b66 \U0001F600\t"), "caf\u00e9 \u5b66 \U0001F600\t");
  EXPECT_EQ(printable("\x1b[31mred\x7f"), "\\x1b[31mred\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m");  // the control character CSI
  EXPECT_EQ(printable("\x9b"
                      "31m"),
            "\\x9b31m");  // not UTF-8
  EXPECT_EQ(printable("a\nb\r"), "a\\x0ab\\x0d");
  EXPECT_EQ(printable("a\nb\r", LineBreaks::kept), "a\nb\\x0d");
  EXPECT_EQ(printable("cut \xe5\xad"), "cut \\xe5\\xad");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(printable(""), "");
}

TEST(JsonReason, LeavesOutTheNameOfTheException) {
  EXPECT_EQ(json_reason("[json.exception.type_error.302] type must be string"),
            "type must be string");
  EXPECT_EQ(json_reason("something else"), "something else");
  for (const char* call : {"value()", "operator[] with a string argument"}) {
    EXPECT_EQ(json_reason(std::string("[json.exception.type_error.306] cannot use ") + call +
                          " with array"),
              "array stands in place of an object");
  }
}

TEST(Excerpt, ShowsTheBeginning) {
  EXPECT_EQ(excerpt("short"), "short");
  EXPECT_EQ(excerpt("\x1b-long", 3), "\\x1b-l...");
}

TEST(CheckedProduct, RefusesWhatWraps) {
  using Factors = std::array<std::int64_t, 4>;
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(checked_product(Factors{2, 3, 5, 7}), 210U);
  EXPECT_EQ(checked_product(Factors{2, 0, 5, 7}), 0U);
  EXPECT_FALSE(checked_product(Factors{65536, 65536, 65536, 65536}));
  EXPECT_FALSE(checked_product(Factors{kLargest / 2 + 2, 1, 1, 4}));
  EXPECT_FALSE(checked_product(Factors{kLargest, kLargest, 0, 1}));
  EXPECT_FALSE(checked_product(Factors{-1, -1, 1, 1}));
  EXPECT_FALSE(checked_product(Factors{2, 3, 5, 7}, 209));
  EXPECT_EQ(checked_product(std::array<std::uint64_t, 0>{}), 1U);
}

TEST(LiesWithin, DoesNotWrap) {
  EXPECT_TRUE(lies_within(3, 7, 10));
  EXPECT_TRUE(lies_within(10, 0, 10));
  EXPECT_FALSE(lies_within(3, 8, 10));
  EXPECT_FALSE(lies_within(11, 0, 10));
  EXPECT_FALSE(lies_within(std::numeric_limits<std::uint64_t>::max(), 2, 10));
}

}  // namespace
}  // namespace simclr
