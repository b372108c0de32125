#include "simclr/core/options.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

enum class Colour : std::uint8_t { red, green };

struct Example {
  std::int64_t count = 4;
  double rate = 0.1;
  std::string name = "plain";
  bool loud = false;
  Colour colour = Colour::red;
  std::optional<std::int64_t> limit;
  std::vector<std::int64_t> steps{1};
  std::filesystem::path file;
};

Options declare(Example& e) {
  Options options("bench", "an example", {"pretrain", "bench"});
  options.add("count", e.count, "")
      .add("rate", e.rate, "")
      .add("name", e.name, "")
      .flag("loud", e.loud, "")
      .choice<Colour>("colour", e.colour, {{"red", Colour::red}, {"green", Colour::green}}, "")
      .add("limit", e.limit, "")
      .add("steps", e.steps, "")
      .positional("file", e.file, "");
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
  EXPECT_TRUE(options.parse({"--count=7", "--rate", "-2.5e-3", "--loud", "the-file", "--colour",
                             "green", "--limit", "9", "--steps", "0,5,10"}));
  EXPECT_EQ(e.count, 7);
  EXPECT_EQ(e.rate, -2.5e-3);
  EXPECT_TRUE(e.loud);
  EXPECT_EQ(e.colour, Colour::green);
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
  // The command line wins.
  EXPECT_EQ(read({"--config", file}), Paths{"from-file"});
  EXPECT_EQ(read({"--config", file, "a", "b"}), (Paths{"a", "b"}));
}

TEST(Options, RefusesInOneLineThatNamesTheCulprit) {
  expect_in("did you mean 'count'", refusal({"--cuont", "3"}));
  expect_in("--count", refusal({"--count", "three"}));
  expect_in("'three'", refusal({"--count", "three"}));
  expect_in("--count", refusal({"--count", "3.5"}));
  expect_in("red|green", refusal({"--colour", "gren"}));
  expect_in("'green'", refusal({"--colour", "gren"}));
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

TEST(Options, CommandLineBeatsLaterSectionBeatsEarlierBeatsCommon) {
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

TEST(Options, RefusesBadFilesNamingTheEntry) {
  const auto refusal_of_text = [](const std::string& text) {
    Example e;
    try {
      declare(e).parse_text(text, "here.cfg");
    } catch (const RefusedError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  expect_in("'pretrain'", refusal_of_text("[pretrian]\ncount = 1\n"));
  expect_in("'count'", refusal_of_text("[bench]\ncuont = 1\n"));
  expect_in("here.cfg", refusal_of_text("[bench]\ncount = many\n"));
  expect_in("twice", refusal_of_text("[bench]\ncount = 1\ncount = 2\n"));
  expect_in("here.cfg", refusal_of_text("no equals sign\n"));
  expect_in("true or false", refusal_of_text("[bench]\nloud = yes\n"));
}

TEST(Options, RenamedValuesAreReadFromStoredTextsOnly) {
  const std::vector<RenamedValue> renamed{{"colour", "purple", "green"}};
  Example e;
  declare(e).parse_text("[bench]\ncolour = purple\n", "stored.cfg", renamed);
  EXPECT_EQ(e.colour, Colour::green);
  EXPECT_THROW(declare(e).parse_text("[bench]\ncolour = purple\n", "here.cfg"), RefusedError);
  EXPECT_THROW(declare(e).parse_text("[bench]\ncolour = pink\n", "stored.cfg", renamed),
               RefusedError);
  EXPECT_THROW(declare(e).parse_text("[bench]\nname = x\ncount = purple\n", "stored.cfg", renamed),
               RefusedError);
}

TEST(Options, TheEffectiveTextReadsBackExactly) {
  Example e;
  e.rate = 0.1 + 0.2;
  e.limit = 3;
  e.colour = Colour::green;
  e.loud = true;
  const std::string text = declare(e).text("bench");
  Example read;
  declare(read).parse_text(text, "text");
  EXPECT_EQ(read.rate, e.rate);
  EXPECT_EQ(read.limit, e.limit);
  EXPECT_EQ(read.colour, e.colour);
  EXPECT_TRUE(read.loud);
  EXPECT_EQ(declare(read).text("bench"), text);
  e.name = "with # sign";
  EXPECT_THROW((void)declare(e).text("bench"), RefusedError);
}

}  // namespace
}  // namespace simclr
