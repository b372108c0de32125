#include "report/run_data.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

MetricsTable table_of(const std::string& text) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "metrics.jsonl";
  std::ofstream(file) << text;
  return MetricsTable(file);
}

TEST(MetricsTable, ReadsColumnsWithGaps) {
  const MetricsTable table = table_of(
      "{\"step\":1,\"loss\":4.5}\n"
      "{\"step\":2,\"loss\":null,\"scale\":8}\n"
      "{\"step\":3,\"loss\":4.25,\"text\":\"x\"}\n");
  EXPECT_EQ(table.steps(), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(table.column("loss")[0], 4.5);
  EXPECT_TRUE(std::isnan(table.column("loss")[1]));
  EXPECT_EQ(table.column("loss")[2], 4.25);
  EXPECT_TRUE(std::isnan(table.column("scale")[0]));
  EXPECT_EQ(table.column("scale")[1], 8);
  EXPECT_TRUE(std::isnan(table.column("scale")[2]));
  EXPECT_EQ(table.names(), (std::vector<std::string>{"loss", "scale", "step"}));
  EXPECT_TRUE(std::isnan(table.column("text").at(2)));
}

TEST(MetricsTable, EndsAtAnIncompleteRow) {
  for (const char* cut :
       {R"({"step":2,"lo)", R"({"step":2)", "{", R"({"loss":1})", "3", "[1]", "\n"}) {
    const MetricsTable table = table_of(std::string(R"({"step":1,"loss":4})") + "\n" + cut);
    EXPECT_EQ(table.rows(), 1U) << cut;
    EXPECT_EQ(table.column("loss"), std::vector<double>{4}) << cut;
  }
}

TEST(MetricsTable, AMissingOrEmptyFileHasNoRows) {
  EXPECT_EQ(MetricsTable("/nonexistent/metrics.jsonl").rows(), 0U);
  EXPECT_EQ(table_of("").rows(), 0U);
}

}  // namespace
}  // namespace simclr
