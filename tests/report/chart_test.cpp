#include "report/chart.hpp"

#include <gtest/gtest.h>

#include <regex>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

/// The plot spans x = 50 to 468 and y = 10 (top) to 210 of the drawing.
constexpr double kLeft = 50, kRight = 468, kTop = 10, kBottom = 210;

std::vector<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator at(text.begin(), text.end(), expression), end; at != end; ++at) {
    found.push_back((*at)[1]);
  }
  return found;
}

std::vector<std::pair<double, double>> points(const std::string& path_data) {
  static const std::regex kPoint("(-?[0-9.]+),(-?[0-9.]+)");
  std::vector<std::pair<double, double>> found;
  for (std::sregex_iterator at(path_data.begin(), path_data.end(), kPoint), end; at != end; ++at) {
    found.emplace_back(std::stod((*at)[1]), std::stod((*at)[2]));
  }
  return found;
}

/// Not by a regular expression: those of the library take stack by the character.
std::string curve(const std::string& html) {
  const std::string before = R"(class="curve s0" d=")";
  const std::size_t begin = html.find(before) + before.size();
  return html.substr(begin, html.find('"', begin) - begin);
}

TEST(Chart, PutsPointsWhereTheyBelong) {
  const Chart chart{
      .id = "loss", .title = "Loss", .steps = {0, 5, 10}, .series = {{"loss", {4, 0, 1}}}};
  const std::string html = draw(chart);
  EXPECT_EQ(curve(html), "M50.00,10.00 259.00,210.00 468.00,160.00");
  EXPECT_EQ(matches(html, "<circle [^>]*cx=\"([0-9.]+)\"").size(), 3U);
}

TEST(Chart, ASinglePointIsADot) {
  const std::string html = draw({.id = "a", .title = "A", .steps = {7}, .series = {{"a", {0.5}}}});
  EXPECT_EQ(matches(html, "<circle class=\"s0\" cx=\"([0-9.]+)\"").size(), 1U);
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(html.find("inf"), std::string::npos);
}

TEST(Chart, LevelsAndMarksAreInTheFrame) {
  const Chart chart{.id = "loss",
                    .title = "Loss",
                    .steps = {0, 10},
                    .series = {{"loss", {3, 2}}},
                    .levels = {{4, "chance"}},
                    .marks = {{5, "restart 1 at step 5"}}};
  const std::string html = draw(chart);
  // 4 is the greatest value, so its line is at the top; the mark is in the middle.
  EXPECT_EQ(matches(html, "class=\"level\" x1=\"50.0\" x2=\"468.0\" y1=\"([0-9.]+)\""),
            std::vector<std::string>{"10.0"});
  EXPECT_EQ(matches(html, "class=\"mark\" x1=\"([0-9.]+)\""), std::vector<std::string>{"259.0"});
  EXPECT_NE(html.find("<title>restart 1 at step 5</title>"), std::string::npos);
  EXPECT_NE(html.find("Restarts: 1."), std::string::npos);
}

TEST(Chart, LayersAddUp) {
  const Chart chart{.id = "time",
                    .title = "Time",
                    .unit = "s",
                    .steps = {0, 10},
                    .series = {{"a", {1, 1}}, {"b", {1, 3}}},
                    .stacked = true};
  const std::string html = draw(chart);
  // The upper layer first: 2 and 4 of 4, then the lower one over it: 1 of 4; both down to 0.
  EXPECT_EQ(matches(html, "class=\"layer s[01]\" d=\"([^\"]*)\""),
            (std::vector<std::string>{"M50.00,110.00 468.00,10.00 468.00,210.00 50.00,210.00Z",
                                      "M50.00,160.00 468.00,160.00 468.00,210.00 50.00,210.00Z"}));
  EXPECT_NE(html.find("<title>step 10\na 1 s\nb 3 s</title>"), std::string::npos);
}

TEST(Chart, ASlowFirstStepDoesNotFlattenTheOthers) {
  Chart chart{.id = "t", .title = "T", .series = {{"a", {}}}, .stacked = true};
  for (int step = 0; step < 100; ++step) {
    chart.steps.push_back(step);
    chart.series[0].y.push_back(step == 0 ? 1000 : 1);
  }
  const auto path = points(matches(draw(chart), "class=\"layer s0\" d=\"([^\"]*)\"").at(0));
  EXPECT_GE(path.at(0).second, kTop);
  EXPECT_LT(path.at(50).second, kBottom - (kBottom - kTop) / 4);
}

TEST(Chart, LongRunsAreThinnedAndStayInside) {
  Chart chart{.id = "l", .title = "L", .series = {{"l", {}}}};
  for (int step = 1; step <= 20000; ++step) {
    chart.steps.push_back(step);
    chart.series[0].y.push_back(step % 7 + (step == 12345 ? 100 : 0));
  }
  const std::string html = draw(chart);
  const auto path = points(curve(html));
  EXPECT_LE(path.size(), kMostPoints);
  EXPECT_GT(path.size(), kMostPoints / 2);
  double highest = kBottom;
  for (const auto& [x, y] : path) {
    EXPECT_TRUE(x >= kLeft && x <= kRight && y >= kTop && y <= kBottom) << x << "," << y;
    highest = std::min(highest, y);
  }
  EXPECT_LT(highest, (kTop + kBottom) / 2);  // the peak is there
  EXPECT_LE(matches(html, "(class=\"tip\")").size(), kMostTips);
}

TEST(Chart, TextIsEscaped) {
  const std::string html = draw({.id = "a",
                                 .title = "<b>",
                                 .unit = "\"&\"",
                                 .steps = {0, 1},
                                 .series = {{"x<y", {0, 1}}, {"z", {0, 1}}},
                                 .levels = {{0.5, "<i>"}},
                                 .marks = {{0.5, "<u>"}}});
  for (const char* raw : {"<b>", "\"&\"", "x<y", "<i>", "<u>"}) {
    EXPECT_EQ(html.find(raw), std::string::npos) << raw;
  }
  EXPECT_NE(html.find("x&lt;y"), std::string::npos);
}

TEST(Chart, RefusesSeriesOfAnotherLength) {
  EXPECT_THROW(draw({.id = "a", .title = "A", .steps = {0, 1}, .series = {{"a", {1}}}}), Error);
  EXPECT_THROW(draw({.id = "a", .title = "A"}), Error);
}

}  // namespace
}  // namespace simclr
