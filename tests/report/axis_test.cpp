#include "report/axis.hpp"

#include <gtest/gtest.h>

namespace simclr {
namespace {

std::string labels(const Axis& axis) {
  std::string text;
  for (const double tick : axis.ticks) text += label_text(tick) + " ";
  return text;
}

TEST(Axis, LabelsStandAtRoundNumbers) {
  const Axis axis = make_axis(3.36, 4.44, Ends::round, 5);
  EXPECT_EQ(labels(axis), "3 3.5 4 4.5 ");
  EXPECT_DOUBLE_EQ(axis.low, 3);
  EXPECT_DOUBLE_EQ(axis.high, 4.5);
  EXPECT_EQ(labels(make_axis(0, 0.3, Ends::round, 5)), "0 0.1 0.2 0.3 ");
  EXPECT_EQ(labels(make_axis(-7, 12, Ends::round, 5)), "-10 -5 0 5 10 15 ");
}

TEST(Axis, ExactEndsKeepLabelsInside) {
  const Axis axis = make_axis(1, 50000, Ends::exact, 5);
  EXPECT_EQ(labels(axis), "10k 20k 30k 40k 50k ");
  EXPECT_DOUBLE_EQ(axis.low, 1);
  EXPECT_DOUBLE_EQ(axis.place(50000), 1);
}

TEST(Axis, MakesRoomAroundASingleValue) {
  for (const double value : {0.0, 5.0, -0.25}) {
    for (const Ends ends : {Ends::exact, Ends::round}) {
      const Axis axis = make_axis(value, value, ends, 5);
      EXPECT_LT(axis.low, axis.high);
      EXPECT_GE(axis.place(value), 0);
      EXPECT_LE(axis.place(value), 1);
      EXPECT_FALSE(axis.ticks.empty());
    }
  }
}

TEST(Axis, NumbersAreShortOnLabelsAndExactInText) {
  EXPECT_EQ(label_text(1250), "1250");
  EXPECT_EQ(label_text(12500), "12.5k");
  EXPECT_EQ(label_text(2.5e6), "2.5M");
  EXPECT_EQ(label_text(0.0003), "0.0003");
  EXPECT_EQ(exact_text(1234567), "1234567");
  EXPECT_EQ(exact_text(3.14159265), "3.14159");
}

}  // namespace
}  // namespace simclr
