// Options from configuration files and from the stored configurations of runs.

#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "example_options.hpp"
#include "support/temporary_directory.hpp"

namespace simclr::test {
namespace {

TEST(ConfigFile, PrecedenceIsCommandLineThenLaterThenEarlierSectionThenCommon) {
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

TEST(ConfigFile, RefusesBadFilesAndNamesTheEntry) {
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
            "here.cfg:6: option --count: given twice; first in line 2");
  expect_in("here.cfg:2: option --loud: 'yes'", refusal_of_text("[bench]\nloud = yes\n"));
  for (const std::string line : {"no equals sign", "[bench", "= 3", "[ben=ch", "\x1b[31mred"}) {
    expect_in("here.cfg:2: a line must be 'name = value', '[section]' or '# comment', got '",
              refusal_of_text("\n" + line + "\n"));
    EXPECT_EQ(refusal_of_text(line).find('\x1b'), std::string::npos);
  }
  expect_in("here.cfg:1: a section must have a name", refusal_of_text("[ ]\n"));
  EXPECT_LT(refusal_of_text(std::string(100000, 'x')).size(), 200U);
  // Values and names of any length and content are shown in a short line, and what follows them.
  using namespace std::string_literals;
  EXPECT_EQ(refusal_of_text("count = 1\0002\n"s),
            "here.cfg:1: option --count: '1\\x002' is not accepted; allowed: a whole number");
  const std::string many(200000, '7');
  for (const std::string& text : {"count = " + many, many + " = 1", "[" + many + "]"}) {
    EXPECT_LT(refusal_of_text(text).size(), 400U);
    expect_in("777...", refusal_of_text(text));
  }
  EXPECT_STREQ(Error("a\0b"s).what(), "a\\x00b");
}

TEST(ConfigFile, ReadsFilesOfOtherSystems) {
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

TEST(ConfigFile, RefusesFilesThatAreNoConfiguration) {
  const TemporaryDirectory directory;
  EXPECT_EQ(refusal({"--config", directory.path()}),
            "option --config: " + directory.path().string() + " is a directory; name a file");
  EXPECT_EQ(refusal({"--config", "/nowhere/c.cfg"}),
            "cannot read /nowhere/c.cfg: No such file or directory");
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

TEST(ConfigFile, RequiredOptionsMayComeFromAStoredText) {
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
  EXPECT_EQ(read(false, {"--count", "2"}, none), "option --scale: missing; give X,.., ");
  Example some;
  EXPECT_EQ(read(false, {"--scale", "0.1,0.1,0.1"}, some), "option --file: missing; give FILE, ");
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

TEST(ConfigFile, OptionsThatMayChangeLeaveTheOthersToTheStoredText) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "c.cfg";
  std::ofstream(file) << "[bench]\n";
  const auto count_of = [&](const std::vector<std::string>& arguments) {
    Example e;
    Options options = declare(e);
    options.require_given({"steps"});
    options.otherwise_from([]() -> std::optional<StoredText> {
      return StoredText{"[bench]\ncount = 9\nsteps = 5\n", "old.cfg", {}};
    });
    EXPECT_EQ(read_with(options, arguments), "accepted");
    EXPECT_EQ(e.steps, std::vector<std::int64_t>{7});
    return e.count;
  };
  EXPECT_EQ(count_of({"--steps", "7"}), 9);
  EXPECT_EQ(count_of({"--steps", "7", "--rehearse"}), 9);
  EXPECT_EQ(count_of({"--steps", "7", "--rate", "1"}), 4);
  EXPECT_EQ(count_of({"--steps", "7", "--config", file}), 4);
}

TEST(ConfigFile, ReadsRenamedValuesOnlyFromStoredTexts) {
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

TEST(ConfigFile, TheEffectiveTextReadsBackExactly) {
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
}  // namespace simclr::test
