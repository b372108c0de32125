// Study files: axes, cells, what cells share, names of files, and what a second call may change.

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/study/study.hpp"
#include "support/temporary_directory.hpp"

namespace simclr::test {
namespace {

/// Stands for every command: a few options, of which `threads` may change when a run resumes.
struct Example {
  double rate = 0.1;
  std::int64_t seed = 1, label_seed = 1, threads = 0;
  std::vector<std::string> names;
  std::string run_dir, name, checkpoint, data, eval_data, train_data, test_data;
  Options options;

  explicit Example(const std::string& command) : options(command, "", {command}) {
    options.add("rate", rate, "").range(at_least(0));
    options.add("seed", seed, "").add("label-seed", label_seed, "").add("names", names, "");
    options.add("threads", threads, "").may_change_on_resume();
    const bool trains = command == "pretrain" || command == "finetune" || command == "supervised";
    if (trains) options.add("run-dir", run_dir, "").add("data", data, "");
    if (trains) options.add("eval-data", eval_data, "");
    if (!trains) options.add("name", name, "").add("train-data", train_data, "");
    if (!trains) options.add("test-data", test_data, "");
    if (command == "quality") options.add("data", data, "");
    if (command != "pretrain" && command != "supervised") {
      options.add("checkpoint", checkpoint, "");
    }
  }
};

class StudyCells : public ::testing::Test {
 protected:
  Study make(const std::string& text) {
    const auto file = directory_.path() / "s.cfg";
    std::ofstream(file) << text;
    StudyConfig config;
    config.file = file;
    config.output = directory_.path() / "out";
    config.data = "train";
    config.eval_data = "test";
    config.paper = paper_;
    return {config, commands_};
  }
  std::string refusal(const std::string& text) {
    try {
      const Study study = make(text);
      study.check(commands_, {});
    } catch (const RefusedError& error) {
      return error.what();
    }
    return "accepted";
  }
  static std::string names_of(const Study& study, const std::string& command) {
    std::string names;
    for (const StudyWork& work : study.works()) {
      if (work.command == command) names += work.name + " ";
    }
    return names;
  }

  TemporaryDirectory directory_;
  std::string paper_;
  std::vector<std::string> checked_;  ///< the commands that were asked to check a work
  StudyCommands commands_{
      .declare =
          [](const std::string& command) {
            const auto example = std::make_shared<Example>(command);
            return DeclaredCommand{.target = example, .options = {example, &example->options}};
          },
      .check = [this](const std::string& command, const std::vector<std::string>&,
                      bool /*here*/) { checked_.push_back(command); }};
};

TEST(StudyAxes, AreReadAsWritten) {
  const auto axes = parse_axes(
      "[axes]\nrate = 0.1,0.2\nknn.names & knn.seed = \"a,b\" & 1, \"a & b\" & 2 , c & 3\n"
      "finetune.label-seed & pretrain.seed = 1 & 2\n",
      "f");
  ASSERT_EQ(axes.size(), 3U);
  EXPECT_EQ(axes[0].options.front().command, "pretrain");
  EXPECT_EQ(axes[0].values, (std::vector<std::vector<std::string>>{{"0.1"}, {"0.2"}}));
  EXPECT_EQ(axes[1].options.front().written, "knn.names");
  EXPECT_EQ(axes[1].values,
            (std::vector<std::vector<std::string>>{{"a,b", "1"}, {"a & b", "2"}, {"c", "3"}}));
  EXPECT_EQ(axes[1].where, "f:3: ");
  EXPECT_FALSE(axes[1].is_seed());
  EXPECT_TRUE(axes[2].is_seed());
  EXPECT_EQ(axes[2].options.back().command, "pretrain");
}

TEST_F(StudyCells, AreAllCombinationsAndShareWorkWithEqualOptions) {
  const Study study = make(
      "[axes]\nrate = 0.1, 0.2\nknn.rate = 1, 2, 3\nseed = 1, 2\n[pretrain]\n[knn]\n"
      "[supervised]\n");
  EXPECT_EQ(study.cells().size(), 12U);
  EXPECT_EQ(study.rows(), 6U);
  EXPECT_EQ(names_of(study, "pretrain"),
            "rate-0.1_seed-1 rate-0.1_seed-2 rate-0.2_seed-1 rate-0.2_seed-2 ");
  EXPECT_EQ(names_of(study, "supervised"), "base ");
  EXPECT_EQ(study.works().size(), 4U + 12U + 1U);
  EXPECT_EQ(study.cells().front().name, "rate-0.1_knn.rate-1_seed-1");
  EXPECT_EQ(study.cells().back().values, (std::vector<std::string>{"0.2", "3", "2"}));
  std::set<std::filesystem::path> results;
  for (const StudyWork& work : study.works()) {
    if (work.command != "knn") continue;
    EXPECT_EQ(study.works()[*work.parent].command, "pretrain");
    EXPECT_EQ(work.directory, study.works()[*work.parent].directory / "eval");
    results.insert(work.result);
  }
  EXPECT_EQ(results.size(), 12U);
}

TEST_F(StudyCells, HaveConfigurationsThatNameTheirRunAndData) {
  const Study study =
      make("[axes]\nrate = 0.25\nfinetune.rate = 0.5\n[pretrain]\n[finetune]\n[knn]\n");
  study.check(commands_, {});
  study.write();
  EXPECT_EQ(checked_, (std::vector<std::string>{"pretrain", "knn", "finetune"}));
  std::ifstream in(study.cell_file(0));
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::string run = (study.directory() / "pretrain" / "rate-0.25").string();
  const std::string labeled = (study.directory() / "finetune" / "rate-0.25_rate-0.5").string();
  for (const std::string& line :
       std::vector<std::string>{"[pretrain]\nrate = 0.25\n", "[finetune]\nrate = 0.5\n",
                                "run-dir = " + run + "\n", "run-dir = " + labeled + "\n",
                                "checkpoint = " + run + "\n", "name = knn\n", "train-data = "}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
  EXPECT_TRUE(std::filesystem::is_directory(run));
  EXPECT_TRUE(std::filesystem::is_directory(labeled));
}

TEST_F(StudyCells, ThatAreEqualAreRefusedByName) {
  EXPECT_NE(refusal("[axes]\nrate = 0.1, 0.10\n").find("cells rate-0.1 and rate-0.10 are the same"),
            std::string::npos);
  // Equal pretraining is shared, but cells must differ somewhere.
  EXPECT_EQ(refusal("[axes]\nrate = 0.1, 0.2\nknn.rate = 1, 2\n"), "accepted");
}

TEST_F(StudyCells, OfASecondCallMayOnlyBeMore) {
  const std::string before = "[axes]\nrate = 0.1, 0.2\n[knn]\n";
  make(before).write();
  EXPECT_EQ(refusal(before), "accepted");
  EXPECT_EQ(refusal("[axes]\nrate = 0.3, 0.1, 0.2\n[knn]\n"), "accepted");
  EXPECT_EQ(refusal(before + "[pretrain]\nthreads = 3\n"), "accepted");
  EXPECT_NE(refusal("[axes]\nrate = 0.1\n[knn]\n")
                .find("has the cell rate-0.2, which the file has "
                      "no longer"),
            std::string::npos);
  EXPECT_NE(refusal(before + "rate = 2\n").find("option --rate of 'knn' was unset and is '2'"),
            std::string::npos);
  EXPECT_NE(refusal(before + "[quality]\n").find("it now has section [quality]"),
            std::string::npos);
}

TEST_F(StudyCells, HaveDistinctFilesForValuesThatAreNoFileNames) {
  const std::string long_name(300, 'x');
  const Study study =
      make("[axes]\nnames = a/b, a:b, a-b, " + long_name + ", " + long_name + "y\n");
  std::set<std::string> names;
  for (const StudyWork& work : study.works()) {
    names.insert(work.name);
    EXPECT_EQ(work.name.find_first_of("/: "), std::string::npos);
    EXPECT_LE(work.name.size(), 120U);
  }
  EXPECT_EQ(names.size(), 5U);
  EXPECT_TRUE(names.contains("names-a-b"));
}

TEST_F(StudyCells, TakePublishedFiguresInTheirOrder) {
  paper_ = "1, -, 2.5";
  const Study study = make("[axes]\nrate = 1, 2, 3\nseed = 1, 2\n");
  EXPECT_EQ(study.paper(), (std::vector<std::optional<double>>{1, std::nullopt, 2.5}));
  paper_ = "1, 2";
  EXPECT_NE(refusal("[axes]\nrate = 1, 2, 3\n").find("option --paper: 2 figures for 3 lines"),
            std::string::npos);
}

}  // namespace
}  // namespace simclr::test
