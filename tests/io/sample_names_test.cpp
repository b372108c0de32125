// Names of samples are written and read back.

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/io/shard_writer.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

void write_shard(const fs::path& file, std::span<const std::string> names, bool named = true) {
  ShardWriter writer(file, {.name = "toy",
                            .samples = std::ssize(names),
                            .named = named,
                            .fixed_size = ShardSpec::Size{2, 2}});
  const std::array<std::byte, 12> pixels{};
  for (const std::string& name : names) writer.append(pixels, 2, 2, 0, name);
  writer.complete();
  writer.publish();
}

class SampleNamesTest : public testing::Test {
 protected:
  [[nodiscard]] fs::path file(int shard) const {
    return directory_.path() / shard_file_name("toy", shard, 2);
  }
  TemporaryDirectory directory_;
  std::vector<std::string> names_{"a/1.jpg", "", "b/\xC3\xA4 2.png", "\xFF"};
};

TEST_F(SampleNamesTest, RoundTrip) {
  write_shard(file(0), std::span(names_).first(1));
  write_shard(file(1), std::span(names_).subspan(1));
  const ShardSet set(directory_.path());
  EXPECT_TRUE(set.info().named);
  ASSERT_EQ(set.names().size(), 4);
  for (std::size_t i = 0; i < names_.size(); ++i) {
    EXPECT_EQ(set.names()[static_cast<std::int64_t>(i)], names_[i]);
  }
  const VerifyReport report = verify_shard(file(1));
  EXPECT_TRUE(report.problems.empty() && report.unchecked.empty());
  EXPECT_EQ(report.bytes, 3u * 12u + 11u + 4u * 8u);
}

TEST_F(SampleNamesTest, SetsWithoutNamesHaveNone) {
  write_shard(file(0), names_, false);
  const ShardSet set(file(0));
  EXPECT_FALSE(set.info().named);
  EXPECT_TRUE(set.names().empty());
}

TEST_F(SampleNamesTest, AllShardsOfASetMustAgree) {
  write_shard(file(0), names_);
  write_shard(file(1), names_, false);
  try {
    const ShardSet set(directory_.path());
    FAIL() << "accepted";
  } catch (const RefusedError& error) {
    EXPECT_TRUE(std::string(error.what())
                    .starts_with(file(1).string() + ": has no names of its samples, unlike "))
        << error.what();
  }
}

TEST_F(SampleNamesTest, VerifyComparesThemWithTheirChecksum) {
  write_shard(file(0), names_);
  std::fstream damaged(file(0), std::ios::in | std::ios::out | std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(damaged), {});
  damaged.seekp(static_cast<std::streamoff>(bytes.find("a/1.jpg")));
  damaged.put('A');
  damaged.close();
  const VerifyReport report = verify_shard(file(0));
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_TRUE(report.problems[0].starts_with(file(0).string() + ": 'names': checksum "))
      << report.problems[0];
}

}  // namespace
}  // namespace simclr
