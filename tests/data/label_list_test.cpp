// Lists of labeled samples: by base name or by index; what does not fit is refused with its line.

#include "simclr/data/label_list.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "simclr/core/check.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/shard_writer.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

using Indices = std::vector<std::int64_t>;

struct Sample {
  const char* name;
  std::int64_t label;
};
constexpr std::array kSamples{Sample{"ant/n1_7.JPEG", 0}, Sample{"ant/same.jpg", 0},
                              Sample{"bee/n2_5.JPEG", 1}, Sample{"bee/same.jpg", 1},
                              Sample{"cow/n3_1.JPEG", 2}, Sample{"cow/none.jpg", -1},
                              Sample{"top.jpg", 2}};

class LabelListTest : public testing::Test {
 protected:
  /// A set of kSamples in two shards.
  ShardSet make_set(bool named = true, bool labeled = true) {
    const auto directory = top_.path() / (named ? labeled ? "set" : "unlabeled" : "unnamed");
    std::filesystem::create_directories(directory);
    constexpr std::size_t kFirst = 3;
    std::size_t sample = 0;
    for (const std::size_t end : {kFirst, kSamples.size()}) {
      ShardWriter writer(directory / shard_file_name("toy", sample > 0 ? 1 : 0, 2),
                         {.name = "toy",
                          .class_names = {"ant", "bee", "cow"},
                          .samples = static_cast<std::int64_t>(end - sample),
                          .labeled = labeled,
                          .named = named,
                          .fixed_size = ShardSpec::Size{1, 1}});
      const std::array<std::byte, 3> pixel{};
      for (; sample < end; ++sample) {
        writer.append(pixel, 1, 1, kSamples.at(sample).label, kSamples.at(sample).name);
      }
      writer.complete();
      writer.publish();
    }
    return ShardSet(directory);
  }

  [[nodiscard]] std::filesystem::path file() const { return top_.path() / "labels.txt"; }

  Indices read(const std::string& text, const ShardSet& set) {
    write_file(file(), text);
    return read_label_list(file(), set);
  }

  /// Expects a refusal in one line that begins with the file and holds `reason`.
  void expect_refused(const std::string& text, const ShardSet& set, const std::string& reason) {
    try {
      (void)read(text, set);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const RefusedError& error) {
      const std::string message = error.what();
      EXPECT_TRUE(message.starts_with(file().string() + ": ")) << message;
      EXPECT_NE(message.find(reason), std::string::npos) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    }
  }

 private:
  TemporaryDirectory top_;
};

TEST_F(LabelListTest, BaseNamesInAnyOrderWithAndWithoutPath) {
  const ShardSet set = make_set();
  EXPECT_EQ(read("n3_1.JPEG\nn1_7.JPEG\nn2_5.JPEG\n", set), (Indices{0, 2, 4}));
  EXPECT_EQ(read("/other/train/n3_1.JPEG\r\n\r\n  ./top.jpg \nx/n1_7.JPEG", set),
            (Indices{0, 4, 6}));
  EXPECT_EQ(read("\xEF\xBB\xBFn2_5.JPEG\n", set), (Indices{2}));
}

TEST_F(LabelListTest, IndicesOfASetWithAndWithoutNames) {
  for (const bool named : {true, false}) {
    EXPECT_EQ(read("6\n0\n 3\n", make_set(named)), (Indices{0, 3, 6}));
  }
}

TEST_F(LabelListTest, WhatDoesNotFitIsRefusedWithItsLine) {
  const ShardSet set = make_set();
  expect_refused("n1_7.JPEG\n\nn1_8.JPEG\n", set, "line 3: 'n1_8.JPEG' is the name of no sample");
  expect_refused("n1_7.jpeg\n", set, "line 1: 'n1_7.jpeg' is the name of no sample");
  expect_refused("n1_7.JPEG\nn2_5.JPEG\na/n1_7.JPEG\n", set,
                 "line 3: 'a/n1_7.JPEG' is the same sample as in line 1");
  expect_refused("same.jpg\n", set, "1 (ant/same.jpg) and 3 (bee/same.jpg); list indices");
  expect_refused("n1_7.JPEG\nnone.jpg\n", set, "line 2: 'none.jpg' is sample 5 of ");
  expect_refused("5\n", set, "line 1: '5' is sample 5 of ");
  expect_refused("0\n7\n", set, "line 2: '7' is no sample of ");
  expect_refused("-1\n", set, "line 1: '-1' is no sample of ");
  expect_refused("99999999999999999999\n", set, "which has 0 to 6");
  expect_refused("3\n4\n03\n", set, "line 3: '03' is the same sample as in line 1");
  expect_refused("n1_7.JPEG\n2\n", set, "line 2: '2' is an index, unlike 'n1_7.JPEG' in line 1");
  expect_refused("2\nn1_7.JPEG\n", set, "line 2: 'n1_7.JPEG' is a name, unlike '2' in line 1");
  expect_refused("", set, "names no sample");
  expect_refused("\n \r\n", set, "names no sample");
  expect_refused(std::string("\0\x1b[2J\n", 6), set, "'\\x00\\x1b[2J' is the name of no sample");
}

TEST_F(LabelListTest, SetsWithoutNamesOrLabelsAreNamed) {
  expect_refused("n1_7.JPEG\n", make_set(false), "unnamed has no names of its samples");
  write_file(file(), "1\n");
  try {
    (void)read_label_list(file(), make_set(true, false));
    FAIL() << "accepted";
  } catch (const RefusedError& error) {
    EXPECT_NE(std::string(error.what()).find("unlabeled: has no labels"), std::string::npos)
        << error.what();
  }
}

TEST_F(LabelListTest, AListThatIsNoFileIsRefused) {
  const ShardSet set = make_set();
  EXPECT_THROW((void)read_label_list(file(), set), RefusedError);
  EXPECT_THROW((void)read_label_list(file().parent_path(), set), RefusedError);
}

TEST_F(LabelListTest, TheHashIsOfTheIndicesInOrder) {
  const Indices samples{1, 2, 300};
  EXPECT_EQ(selection_hash(samples), selection_hash(Indices{1, 2, 300}));
  EXPECT_NE(selection_hash(samples), selection_hash(Indices{1, 300, 2}));
  EXPECT_NE(selection_hash(samples), selection_hash(Indices{1, 2}));
}

}  // namespace
}  // namespace simclr
