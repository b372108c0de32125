#include "report/page.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "report/run_data.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

using Json = nlohmann::ordered_json;

/// A run with these lines in its metrics.jsonl and default options.
RunData run_of(const std::string& metrics) {
  RunData run;
  run.name = "run";
  Options options("report", "", {"pretrain"});
  run.config->declare(options);
  run.options = options.values();
  const TemporaryDirectory directory;
  const auto file = directory.path() / "metrics.jsonl";
  std::ofstream(file) << metrics;
  run.metrics = MetricsTable(file);
  return run;
}

TEST(RunJson, EachRowIsAPoint) {
  const Json json = run_json(run_of(R"({"step":1,"epoch":0.25,"loss":4.123456789012345})"));
  EXPECT_EQ(json.at("step"), Json({1}));
  EXPECT_EQ(json.at("columns").at("loss"), Json({{"values", {4.123456789012345}}}));
  EXPECT_EQ(json.at("columns").at("epoch"), Json({{"values", {0.25}}}));
}

TEST(RunJson, ARunWithoutRowsHasNoPoints) {
  const Json json = run_json(run_of(""));
  EXPECT_EQ(json.at("step"), Json::array());
  EXPECT_EQ(json.at("columns"), Json::object());
  EXPECT_EQ(json.at("restarts"), Json::array());
  EXPECT_EQ(json.at("seconds"), 0);
}

TEST(RunJson, AnyNumberIsAColumnAndGapsAreNull) {
  const Json json =
      run_json(run_of("{\"step\":1,\"loss\":null,\"<b>\":2}\n{\"step\":2,\"loss\":3}\n"
                      "{\"step\":3,\"loss\":1,\"knn_top1\":0.5,\"text\":\"x\"}\n"));
  const auto values = [&](const char* name) {
    return json.at("columns").at(name).at("values").dump();
  };
  EXPECT_EQ(values("loss"), "[null,3.0,1.0]");
  EXPECT_EQ(values("<b>"), "[2.0,null,null]");
  EXPECT_EQ(values("knn_top1"), "[null,null,0.5]");
  EXPECT_FALSE(json.at("columns").contains("text"));
}

TEST(RunJson, ALongRunKeepsItsPeaks) {
  constexpr int kRows = 100000;
  std::string metrics;
  const auto value = [](int row) {
    return row == 77777 ? 50.0 : row == 4321 ? -50.0 : std::sin(row / 1000.0);
  };
  double sum = 0;
  for (int row = 0; row < kRows; ++row) {
    metrics +=
        fmt::format(R"({{"step":{},"loss":{},"seconds_step":0.5}})", 10 * row + 10, value(row)) +
        "\n";
    sum += value(row);
  }
  const Json json = run_json(run_of(metrics));
  const auto steps = json.at("step").get<std::vector<double>>();
  const Json& column = json.at("columns").at("loss");
  const auto means = column.at("values").get<std::vector<double>>();
  const auto least = column.at("least").get<std::vector<double>>();
  const auto greatest = column.at("greatest").get<std::vector<double>>();
  ASSERT_EQ(steps.size(), kMaxPoints);
  ASSERT_EQ(means.size(), kMaxPoints);

  // The first and the last row are points; each other point has the rows since the one before.
  EXPECT_EQ(steps.front(), 10);
  EXPECT_EQ(means.front(), value(0));
  EXPECT_EQ(steps.back(), 10 * kRows);
  EXPECT_EQ(means.back(), value(kRows - 1));
  double weighted = 0, before = 0;
  for (std::size_t i = 0; i < kMaxPoints; ++i) {
    const double rows = (steps[i] - before) / 10;
    EXPECT_TRUE(i == 0 || i + 1 == kMaxPoints || std::abs(rows - 100.2) < 1) << i << ": " << rows;
    EXPECT_TRUE(least[i] <= means[i] && means[i] <= greatest[i]) << i;
    weighted += rows * means[i];
    before = steps[i];
  }
  EXPECT_NEAR(weighted, sum, 1e-6);
  const auto step_of_peak = [&](const std::vector<double>& values, auto find) {
    return steps[static_cast<std::size_t>(find(values.begin(), values.end()) - values.begin())];
  };
  const auto peak = [](auto begin, auto end) { return std::max_element(begin, end); };
  const auto dip = [](auto begin, auto end) { return std::min_element(begin, end); };
  EXPECT_EQ(*peak(greatest.begin(), greatest.end()), 50);
  EXPECT_EQ(*dip(least.begin(), least.end()), -50);
  EXPECT_NEAR(step_of_peak(greatest, peak), 777780, 1010);
  EXPECT_NEAR(step_of_peak(least, dip), 43220, 1010);
  EXPECT_DOUBLE_EQ(json.at("seconds").get<double>(), 0.5 * 10 * kRows);
  EXPECT_LT(json.dump().size(), std::size_t{200'000});
}

TEST(RunJson, RestartsHaveTheStepOfTheirCheckpoint) {
  const Json json =
      run_json(run_of("{\"step\":1,\"restarts\":0}\n{\"step\":5,\"restarts\":0}\n"
                      "{\"step\":7,\"restarts\":1}\n{\"step\":8,\"restarts\":1}\n"
                      "{\"step\":9}\n{\"step\":10,\"restarts\":3}\n"));
  EXPECT_EQ(json.at("restarts"),
            Json({{{"number", 1}, {"step", 6}}, {{"number", 3}, {"step", 9}}}));
}

TEST(RunJson, TheLossHasTheLevelOfChance) {
  RunData run = run_of("");
  run.config->batch_size = 256;
  const Json levels = run_json(run).at("levels");
  ASSERT_EQ(levels.size(), 1U);
  EXPECT_EQ(levels.at(0).at("column"), "loss");
  EXPECT_EQ(levels.at(0).at("value"), std::log(511.0));
  EXPECT_EQ(levels.at(0).at("name"), "chance, ln(2N - 1)");
}

TEST(RunJson, EvaluationsHaveTheResultOfTheUntrainedEncoder) {
  RunData run = run_of("");
  const auto evaluation = [](const char* protocol, const char* data, int step, double top1) {
    return Evaluation{.name = "n",
                      .protocol = protocol,
                      .test_data = data,
                      .step = step,
                      .samples = 8,
                      .top1 = top1,
                      .top5 = 1};
  };
  run.evaluations = {evaluation("knn", "a", 9, 0.75), evaluation("knn", "b", 9, 0.5),
                     evaluation("linear", "a", 9, 0.25), evaluation("knn", "a", 0, 0.125)};
  const Json json = run_json(run).at("evaluations");
  EXPECT_EQ(json.at(0).at("top1"), 0.75);
  EXPECT_EQ(json.at(0).at("untrained_top1"), 0.125);
  for (const std::size_t other : {1U, 2U, 3U}) {
    EXPECT_TRUE(json.at(other).at("untrained_top1").is_null()) << other;
  }
}

TEST(RunJson, HasTheAccuracyOfEachClassWhereTheResultHasIt) {
  RunData run = run_of("");
  run.evaluations = {
      {.name = "a", .protocol = "knn", .per_class = {0.5, std::nullopt}, .class_names = {"x", "y"}},
      {.name = "b", .protocol = "knn"}};
  const Json json = run_json(run).at("evaluations");
  EXPECT_EQ(json.at(0).at("per_class").dump(), "[0.5,null]");
  EXPECT_EQ(json.at(0).at("class_names").dump(), "[\"x\",\"y\"]");
  EXPECT_FALSE(json.at(1).contains("per_class"));
}

TEST(RunJson, HasTheQualityOfFeatures) {
  RunData run = run_of("");
  run.qualities = {{.name = "n",
                    .data = "d",
                    .checkpoint = "c",
                    .step = 3,
                    .samples = 7,
                    .measures = {{"rankme_h", 2.5}, {"rankme_z", std::nan("")}}}};
  EXPECT_EQ(
      run_json(run).at("qualities").dump(),
      R"([{"name":"n","rankme_h":2.5,"rankme_z":null,"samples":7,"data":"d","checkpoint":"c"}])");
}

TEST(RunJson, LeavesOutFactsWithoutAValue) {
  RunData run = run_of("");
  run.environment = {{"Job", ""}, {"Version", "1"}};
  const Json json = run_json(run);
  EXPECT_EQ(json.at("environment"), Json::parse(R"([["Version","1"]])"));
  EXPECT_EQ(json.at("configuration").at(0).at(0), "Image size");  // there is no data set
  EXPECT_GT(json.at("options").size(), 30U);
}

}  // namespace
}  // namespace simclr
