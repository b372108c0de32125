#include "simclr/core/options.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

enum class Color : std::uint8_t { red, green };

enum class Rehearsal : std::uint8_t { here, elsewhere };

struct Example {
  std::int64_t count = 4;
  double rate = 0.1;
  std::string name = "plain";
  bool loud = false;
  Color color = Color::red;
  std::optional<std::int64_t> limit;
  std::vector<std::int64_t> steps{1};
  std::vector<double> scale;
  std::vector<std::string> parts{"one"};
  std::uint64_t seed = 1;
  int small = 2;
  std::string place = "anywhere";
  std::filesystem::path file;
  std::optional<Rehearsal> rehearse;
};

Options declare(Example& e) {
  Options options("bench", "an example", {"pretrain", "bench"});
  options.add("count", e.count, "")
      .add("rate", e.rate, "")
      .add("name", e.name, "")
      .flag("loud", e.loud, "")
      .choice<Color>("color", e.color, {{"red", Color::red}, {"green", Color::green}}, "")
      .add("limit", e.limit, "")
      .range(at_least(2))
      .add("steps", e.steps, "")
      .range(at_least(0))
      .may_change_on_resume()
      .add("scale", e.scale, "")
      .range(above(0).below(1).items(3))
      .add("parts", e.parts, "")
      .known({"one", "two", "three"})
      .add("seed", e.seed, "")
      .add("small", e.small, "")
      .range(at_least(2).at_most(8).multiples_of(2))
      .add("place", e.place, "")
      .rule("a text without spaces",
            [](const std::string& text) { return text.find(' ') == std::string::npos; })
      .positional("file", e.file, "")
      .action<Rehearsal>("rehearse", e.rehearse,
                         {{"here", Rehearsal::here}, {"elsewhere", Rehearsal::elsewhere}}, "");
  return options;
}

std::string refusal(const std::vector<std::string>& arguments) {
  Example e;
  try {
    (void)declare(e).parse(arguments);
  } catch (const RefusedError& error) {
    return error.what();
  }
  return "accepted";
}

void expect_in(const std::string& part, const std::string& whole) {
  EXPECT_NE(whole.find(part), std::string::npos) << whole;
}

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
  expect_in("--count", refusal({"--count"}));
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

TEST(Options, PrecedenceIsCommandLineThenLaterThenEarlierSectionThenCommon) {
  const TemporaryDirectory directory;
  const std::string file = (directory.path() / "c.cfg").string();
  std::ofstream(file) << "count = 1\nrate = 1\nname = common\ndevice = cpu\n"
                         "[pretrain]\nrate = 2\nname = early\n[bench]\nname = late\nloud = true\n"
                         "[knn]\nwhatever = 3\n";
  Example e;
  EXPECT_TRUE(declare(e).parse({"--config", file, "--name", "line"}));
  EXPECT_EQ(e.count, 1);
  EXPECT_EQ(e.rate, 2);
  EXPECT_EQ(e.name, "line");
  EXPECT_TRUE(e.loud);
  Example f;
  EXPECT_TRUE(declare(f).parse({"--config", file}));
  EXPECT_EQ(f.name, "late");
}

TEST(Options, RefusesBadFilesAndNamesTheEntry) {
  const auto refusal_of_text = [](const std::string& text) {
    Example e;
    try {
      declare(e).parse_text(text, "here.cfg");
    } catch (const RefusedError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(refusal_of_text("# one\n\n[pretrian]\ncount = 1\n"),
            "here.cfg:3: unknown section [pretrian]; did you mean 'pretrain'?");
  EXPECT_EQ(refusal_of_text("[pretrian]"),
            "here.cfg:1: unknown section [pretrian]; did you mean 'pretrain'?");
  EXPECT_EQ(refusal_of_text("[bench]\r\n\r\ncuont = 1\r\n"),
            "here.cfg:3: unknown option 'cuont' of 'bench'; did you mean 'count'?");
  EXPECT_EQ(refusal_of_text("cuont = 1"),
            "here.cfg:1: unknown option 'cuont' of 'bench'; did you mean 'count'?");
  EXPECT_EQ(refusal_of_text("[bench]\ncount = many # far too many\n"),
            "here.cfg:2: option --count: 'many' is not accepted; allowed: a whole number");
  EXPECT_EQ(refusal_of_text("[bench]\ncount = 1\n\n[knn]\n[bench]\ncount = 2\n"),
            "here.cfg:6: option --count is given twice; first in line 2");
  expect_in("here.cfg:2: option --loud: 'yes'", refusal_of_text("[bench]\nloud = yes\n"));
  for (const std::string line : {"no equals sign", "[bench", "= 3", "[ben=ch", "\x1b[31mred"}) {
    expect_in("here.cfg:2: a line must be 'name = value', '[section]' or '# comment', got '",
              refusal_of_text("\n" + line + "\n"));
    EXPECT_EQ(refusal_of_text(line).find('\x1b'), std::string::npos);
  }
  expect_in("here.cfg:1: a section must have a name", refusal_of_text("[ ]\n"));
  EXPECT_LT(refusal_of_text(std::string(100000, 'x')).size(), 200U);
}

TEST(Options, ReadsFilesOfOtherSystems) {
  for (const char* text : {"\357\273\277count=7", "count = 7\r\n", "\tcount\t=\t7 # x",
                           "#\ncount = 7", "[bench]\ncount = 7\n\n\n"}) {
    Example e;
    declare(e).parse_text(text, "here.cfg");
    EXPECT_EQ(e.count, 7) << text;
  }
  Example e;
  declare(e).parse_text("name = a=b\n[bench]\n", "here.cfg");
  EXPECT_EQ(e.name, "a=b");
}

TEST(Options, RefusesFilesThatAreNoConfiguration) {
  const TemporaryDirectory directory;
  EXPECT_EQ(refusal({"--config", directory.path()}),
            "option --config: must be a file, got the directory " + directory.path().string());
  EXPECT_EQ(refusal({"--config", "/nowhere/c.cfg"}),
            "option --config: cannot read /nowhere/c.cfg: No such file or directory");
  expect_in("more than 1 MiB", refusal({"--config", "/dev/zero"}));
}

std::string read_with(Options& options, const std::vector<std::string>& arguments) {
  try {
    (void)options.parse(arguments);
  } catch (const RefusedError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Options, RequiredOptionsMayComeFromAStoredText) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "c.cfg";
  std::ofstream(file) << "[bench]\nrate = 3\n";
  const auto read = [&](bool with_stored, const std::vector<std::string>& arguments, Example& e) {
    Options options = declare(e);
    options.require_given({"file", "scale"});
    options.otherwise_from([&]() -> std::optional<StoredText> {
      if (!with_stored) return {};
      return StoredText{
          "[bench]\ncount = 9\nrate = 2\nname = old\nscale = 0.1,0.2,0.3\n", "old.cfg", {}};
    });
    return read_with(options, arguments);
  };
  Example none;
  EXPECT_EQ(read(false, {"--count", "2"}, none), "option --scale is missing: X,.., ");
  Example some;
  EXPECT_EQ(read(false, {"--scale", "0.1,0.1,0.1"}, some), "option --file is missing: FILE, ");
  // The command line, then --config, then the stored text.
  Example e;
  EXPECT_EQ(read(true, {"a", "--name", "new", "--config", file}, e), "accepted");
  EXPECT_EQ(e.name, "new");
  EXPECT_EQ(e.rate, 3);
  EXPECT_EQ(e.count, 9);
  // With all that is required the stored text is not read.
  Example complete;
  EXPECT_EQ(read(true, {"a", "--scale", "0.5,0.5,0.5"}, complete), "accepted");
  EXPECT_EQ(complete.count, 4);
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

TEST(Options, ReadsRenamedValuesOnlyFromStoredTexts) {
  const std::vector<RenamedValue> renamed{{"color", "purple", "green"}};
  Example e;
  declare(e).parse_text("[bench]\ncolor = purple\n", "stored.cfg", renamed);
  EXPECT_EQ(e.color, Color::green);
  EXPECT_THROW(declare(e).parse_text("[bench]\ncolor = purple\n", "here.cfg"), RefusedError);
  EXPECT_THROW(declare(e).parse_text("[bench]\ncolor = pink\n", "stored.cfg", renamed),
               RefusedError);
  EXPECT_THROW(declare(e).parse_text("[bench]\nname = x\ncount = purple\n", "stored.cfg", renamed),
               RefusedError);
}

TEST(Options, TheEffectiveTextReadsBackExactly) {
  Example e;
  e.rate = 0.1 + 0.2;
  e.limit = 3;
  e.color = Color::green;
  e.loud = true;
  const std::string text = declare(e).text("bench");
  Example read;
  declare(read).parse_text(text, "text");
  EXPECT_EQ(read.rate, e.rate);
  EXPECT_EQ(read.limit, e.limit);
  EXPECT_EQ(read.color, e.color);
  EXPECT_TRUE(read.loud);
  EXPECT_EQ(declare(read).text("bench"), text);
  e.name = "with # sign";
  EXPECT_THROW((void)declare(e).text("bench"), RefusedError);
}

}  // namespace
}  // namespace simclr
