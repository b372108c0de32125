#include "example_options.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/temporary_directory.hpp"

namespace simclr::test {
namespace {

TEST(Options, ReadsTheCommandLine) {
  Example e;
  Options options = declare(e);
  EXPECT_TRUE(options.parse({"--count=7", "--rate", "-2.5e-3", "--loud", "the-file", "--color",
                             "green", "--limit", "9", "--steps", "0,5,10"}));
  EXPECT_EQ(e.count, 7);
  EXPECT_EQ(e.rate, -2.5e-3);
  EXPECT_TRUE(e.loud);
  EXPECT_EQ(e.color, Color::green);
  EXPECT_EQ(e.limit, 9);
  EXPECT_EQ(e.steps, (std::vector<std::int64_t>{0, 5, 10}));
  EXPECT_EQ(e.file, "the-file");
  EXPECT_EQ(e.name, "plain");
  EXPECT_TRUE(options.given("rate"));
  EXPECT_FALSE(options.given("name"));
}

TEST(Options, AListTakesAllArgumentsWithoutAName) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "list.cfg";
  std::ofstream(file) << "[bench]\nruns = from-file\n";
  const auto read = [](const std::vector<std::string>& arguments) {
    std::vector<std::filesystem::path> runs;
    std::int64_t count = 0;
    Options options("bench", "an example", {"bench"});
    options.positional_list("runs", runs, "").add("count", count, "");
    EXPECT_NE(options.help().find("bench [runs ...]"), std::string::npos) << options.help();
    EXPECT_TRUE(options.parse(arguments));
    return runs;
  };
  using Paths = std::vector<std::filesystem::path>;
  EXPECT_EQ(read({}), Paths{});
  EXPECT_EQ(read({"a,b"}), Paths{"a,b"});
  EXPECT_EQ(read({"a", "--count", "3", "b", "--runs", "c"}), (Paths{"a", "b", "c"}));
  // The command line takes precedence.
  EXPECT_EQ(read({"--config", file}), Paths{"from-file"});
  EXPECT_EQ(read({"--config", file, "a", "b"}), (Paths{"a", "b"}));
}

TEST(Options, RefusalsAreOneLineAndNameTheOption) {
  expect_in("did you mean 'count'", refusal({"--cuont", "3"}));
  expect_in("--count", refusal({"--count", "three"}));
  expect_in("'three'", refusal({"--count", "three"}));
  expect_in("--count", refusal({"--count", "3.5"}));
  expect_in("red|green", refusal({"--color", "gren"}));
  expect_in("'green'", refusal({"--color", "gren"}));
  EXPECT_EQ(refusal({"--count"}), "option --count: has no value; see simclr bench --help");
  EXPECT_EQ(refusal({"--loud=yes"}), "option --loud: takes no value; see simclr bench --help");
  expect_in("twice", refusal({"--count", "1", "--count", "2"}));
  expect_in("c", refusal({"a", "b"}));
  expect_in("no-such.cfg", refusal({"--config", "no-such.cfg"}));
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--cuont", "3"}, {"--count", ""}, {"--rate", "1x"}, {"--steps", "1,,2"}, {"a", "b"}}) {
    EXPECT_NE(refusal(arguments), "accepted");
    EXPECT_EQ(refusal(arguments).find('\n'), std::string::npos);
  }
}

/// Expects that `--NAME VALUE` is refused in the common wording.
void expect_refused(const std::string& name, const std::string& value, const std::string& allowed) {
  EXPECT_EQ(refusal({"--" + name, value}),
            "option --" + name + ": '" + value + "' is not accepted; allowed: " + allowed);
}

TEST(Options, RefusesNumbersOutOfRangeInTheCommonWording) {
  for (const char* value : {"1", "-9", "two", "2.5", "99999999999999999999"}) {
    expect_refused("limit", value, "a whole number, 2 or more");
  }
  for (const char* value : {"3", "0", "10", "99999999999"}) {
    expect_refused("small", value, "a whole number, 2 or more, at most 8, a multiple of 2");
  }
  for (const char* value : {"-1", "18446744073709551616"}) {
    expect_refused("seed", value, "a whole number, 0 or more");
  }
  for (const char* value : {"nan", "-nan", "inf", "-inf", "1e999", "", "0x1"}) {
    expect_refused("rate", value, "a finite number");
  }
  for (const char* value : {"0,-5", "1,,2", "1,", "1,x"}) {
    expect_refused("steps", value, "whole numbers separated by commas, each 0 or more");
  }
  for (const char* value : {"0.1,0.2", "0.1,0.2,0", "0.1,0.2,1", "0.1,0.2,nan", "a,b,c"}) {
    expect_refused("scale", value, "3 finite numbers separated by commas, each above 0, below 1");
  }
  for (const char* value : {"", "0.1,0.2,0.999"}) {
    EXPECT_EQ(refusal({"--scale", value}), "accepted");
  }
  for (const char* value : {"2", "8"}) {
    EXPECT_EQ(refusal({std::string("--small=") + value}), "accepted");
  }
  EXPECT_EQ(refusal({"--seed=18446744073709551615"}), "accepted");
}

TEST(Options, ARefusedValueLeavesTheTargetUnchanged) {
  Example e;
  EXPECT_THROW((void)declare(e).parse({"--small=3"}), RefusedError);
  EXPECT_THROW((void)declare(e).parse({"--limit=1"}), RefusedError);
  EXPECT_THROW((void)declare(e).parse({"--steps=5,-1"}), RefusedError);
  EXPECT_EQ(e.small, 2);
  EXPECT_FALSE(e.limit.has_value());
  EXPECT_EQ(e.steps, std::vector<std::int64_t>{1});
}

TEST(Options, RefusesUnknownNamesAndBrokenRules) {
  expect_refused("parts", "one,tow", "one|two|three; did you mean 'two'?");
  expect_refused("parts", "one,", "one|two|three");
  expect_refused("color", "gren", "red|green; did you mean 'green'?");
  expect_refused("place", "over there", "a text without spaces");
  EXPECT_EQ(refusal({"--parts", "two,one", "--place", "here"}), "accepted");
}

TEST(Options, AnActionIsNotASetting) {
  Example e;
  EXPECT_TRUE(declare(e).parse({"--rehearse", "--count", "3"}));
  EXPECT_EQ(e.rehearse, Rehearsal::here);
  EXPECT_EQ(e.count, 3);
  EXPECT_EQ(declare(e).text("bench").find("rehearse"), std::string::npos);
  for (const auto& [name, value] : declare(e).values()) EXPECT_NE(name, "rehearse");
  EXPECT_TRUE(declare(e).parse({"--rehearse=elsewhere"}));
  EXPECT_EQ(e.rehearse, Rehearsal::elsewhere);
  EXPECT_EQ(refusal({"--rehearse=xyz"}),
            "option --rehearse: 'xyz' is not accepted; allowed: here|elsewhere");
  EXPECT_THROW(declare(e).parse_text("[bench]\nrehearse = here\n", "c.cfg"), RefusedError);
}

TEST(Options, KnowsWhichOptionsMayChangeOnResume) {
  Example e;
  const Options options = declare(e);
  EXPECT_TRUE(options.may_change_on_resume("steps"));
  EXPECT_FALSE(options.may_change_on_resume("limit"));
  EXPECT_FALSE(options.may_change_on_resume("scale"));
}

nlohmann::json listed(const std::string& name) {
  Example e;
  for (const auto& option : nlohmann::json::parse(declare(e).list())) {
    if (option.at("name") == name) return option;
  }
  ADD_FAILURE() << name << " is not listed";
  return {};
}

TEST(Options, TheListShowsTheDeclaration) {
  using Json = nlohmann::json;
  EXPECT_EQ(listed("small"),
            (Json{{"name", "small"},
                  {"group", "options"},
                  {"sections", {"pretrain", "bench"}},
                  {"type", "integer"},
                  {"choices", nullptr},
                  {"default", "2"},
                  {"range", "a whole number, 2 or more, at most 8, a multiple of 2"},
                  {"min", {{"value", 2}, {"inclusive", true}}},
                  {"max", {{"value", 8}, {"inclusive", true}}},
                  {"may_change_on_resume", false},
                  {"help", ""}}));
  EXPECT_EQ(listed("scale").at("min"), (Json{{"value", 0.0}, {"inclusive", false}}));
  EXPECT_EQ(listed("scale").at("max"), (Json{{"value", 1.0}, {"inclusive", false}}));
  EXPECT_EQ(listed("scale").at("type"), "numbers");
  EXPECT_EQ(listed("seed").at("min").at("value"), 0);
  EXPECT_TRUE(listed("steps").at("may_change_on_resume"));
  EXPECT_EQ(listed("color").at("choices"), (Json{"red", "green"}));
  EXPECT_EQ(listed("loud").at("type"), "flag");
  EXPECT_EQ(listed("limit").at("default"), "");
  EXPECT_EQ(listed("rehearse").at("sections"), Json::array());
}

TEST(Options, HelpLinesFitATerminal) {
  bool flag = false;
  Options options("bench", "an example", {});
  std::string words;
  for (int i = 0; i < 60; ++i) words += "word ";
  options.flag("long", flag, words);
  std::istringstream lines(options.help());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(line.size(), 80U) << line;
  EXPECT_GE(count, 8);
}

TEST(Options, HelpNamesValuesAndMarksRequiredOptions) {
  Example e;
  double pause_seconds = 1;
  Options options = declare(e);
  options.add("pause-seconds", pause_seconds, "")
      .add("where", e.file, "a place")
      .argument("DIR")
      .require_given({"where", "file"})
      .example("simclr bench --where here");
  const std::string help = options.help();
  expect_in("usage: simclr bench file --where DIR [--config FILE]", help);
  for (const char* line : {"  --count N ", "  --rate X ", "  --color NAME ", "  --steps N,.. ",
                           "  --loud  ", "  --rehearse[=NAME] ", "  --pause-seconds SECONDS\n",
                           "(red, green) [red]", "  --where DIR             a place [required]\n",
                           "\nexample:\n  simclr bench --where here\n"}) {
    expect_in(line, help);
  }
}

}  // namespace
}  // namespace simclr::test
