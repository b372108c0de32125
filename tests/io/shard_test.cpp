// Shards are written and read back; every kind of bad input is refused with the file's name.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

#include "io/shard_file.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/array_file.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/io/shard_writer.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

std::vector<std::byte> pixels_of(std::int64_t sample, int height, int width) {
  std::vector<std::byte> pixels(static_cast<std::size_t>(height * width * 3));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::byte>((static_cast<std::size_t>(sample) * 31 + i * 7) & 255);
  }
  return pixels;
}

void write_fixed(const fs::path& path, std::int64_t first, std::int64_t count, int side = 6,
                 bool labeled = true) {
  ShardWriter writer(path, {.name = "toy",
                            .class_names = {"a", "b", "c"},
                            .samples = count,
                            .labeled = labeled,
                            .fixed_size = ShardSpec::Size{side, side}});
  for (std::int64_t i = first; i < first + count; ++i) {
    writer.append(pixels_of(i, side, side), side, side, i % 3);
  }
  writer.complete();
  writer.publish();
}

int height_of(std::int64_t sample) { return 3 + static_cast<int>(sample % 4); }
int width_of(std::int64_t sample) { return 5 + static_cast<int>(sample % 3); }

void write_variable(const fs::path& path, std::int64_t first, std::int64_t count) {
  ShardWriter writer(path, {.name = "toy", .samples = count});
  for (std::int64_t i = first; i < first + count; ++i) {
    writer.append(pixels_of(i, height_of(i), width_of(i)), height_of(i), width_of(i), 0);
  }
  writer.complete();
  writer.publish();
}

std::string refusal(const fs::path& path) {
  try {
    const ShardSet set(path);
  } catch (const RefusedError& error) {
    return error.what();
  }
  return "(not refused)";
}

class Shards : public testing::Test {
 protected:
  fs::path file(int shard, int shards = 2) {
    return directory_.path() / shard_file_name("toy", shard, shards);
  }
  void expect_refused(const std::string& path, const std::string& reason) {
    const std::string message = refusal(directory_.path());
    EXPECT_NE(message.find(path), std::string::npos) << message;
    EXPECT_NE(message.find(reason), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  TemporaryDirectory directory_;
};

TEST_F(Shards, FixedSizeRoundTrip) {
  write_fixed(file(0), 0, 100);
  write_fixed(file(1), 100, 30);
  const ShardSet set(directory_.path());
  const ShardSetInfo& info = set.info();
  EXPECT_EQ(info.name, "toy");
  EXPECT_EQ(info.samples, 130);
  EXPECT_TRUE(info.fixed_size && info.labeled);
  EXPECT_EQ(info.height, 6);
  EXPECT_EQ(info.classes, 3);
  EXPECT_EQ(info.class_names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(info.first_sample, (std::vector<std::int64_t>{0, 100}));
  // A range that spans both shards.
  std::vector<std::byte> bytes(set.stored_bytes(95, 20), std::byte{0xEE});
  ASSERT_EQ(bytes.size(), 20u * 108u);
  set.read(95, 20, bytes);
  for (std::int64_t i = 95; i < 115; ++i) {
    const auto extent = set.extent(i);
    EXPECT_EQ(extent.offset, static_cast<std::uint64_t>(i) * 108u);
    const auto begin = bytes.begin() + (i - 95) * 108;
    EXPECT_EQ(std::vector<std::byte>(begin, begin + 108), pixels_of(i, 6, 6)) << "sample " << i;
    EXPECT_EQ(set.labels()[static_cast<std::size_t>(i)], i % 3);
  }
}

TEST_F(Shards, VariableSizeRoundTrip) {
  write_variable(file(0), 0, 70);
  write_variable(file(1), 70, 71);
  const ShardSet set(directory_.path());
  EXPECT_EQ(set.info().samples, 141);
  EXPECT_FALSE(set.info().fixed_size || set.info().labeled);
  EXPECT_EQ(set.info().height, 6);
  EXPECT_EQ(set.info().width, 7);
  std::vector<std::byte> all(set.stored_bytes(0, 141), std::byte{0xEE});
  set.read(0, 141, all);
  for (std::int64_t i = 0; i < 141; ++i) {
    const auto extent = set.extent(i);
    EXPECT_EQ(extent.height, height_of(i));
    EXPECT_EQ(extent.width, width_of(i));
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(extent.offset);
    EXPECT_EQ(std::vector<std::byte>(begin, begin + static_cast<std::ptrdiff_t>(extent.bytes)),
              pixels_of(i, height_of(i), width_of(i)));
  }
}

TEST_F(Shards, EqualContentsGiveEqualBytes) {
  write_fixed(file(0), 0, 100);
  const auto read_all = [](const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string first = read_all(file(0));
  write_fixed(file(0), 0, 100);
  EXPECT_EQ(read_all(file(0)), first);
}

TEST_F(Shards, AppearsUnderItsNameOnlyWhenPublished) {
  {
    ShardWriter writer(file(0), {.name = "toy", .samples = 2});
    writer.append(pixels_of(0, 4, 4), 4, 4, 0);
    EXPECT_FALSE(fs::exists(file(0)));
  }
  EXPECT_TRUE(fs::is_empty(directory_.path())) << "an abandoned shard leaves nothing behind";
}

TEST_F(Shards, VerifyReadsEveryByte) {
  write_fixed(file(0), 0, 100);
  write_variable(file(1), 0, 100);
  const VerifyReport fixed = verify_shard(file(0));
  EXPECT_TRUE(fixed.problems.empty() && fixed.unchecked.empty());
  EXPECT_EQ(fixed.bytes, 100u * 108u + 100u * sizeof(std::int64_t));
  EXPECT_EQ(fixed.blocks, 2 + 1);
  const VerifyReport variable = verify_shard(file(1));
  EXPECT_TRUE(variable.problems.empty() && variable.unchecked.empty());
  EXPECT_EQ(variable.blocks, 2 + 2);
}

/// Flips the first bit of the given bytes where they occur in the file.
void flip_byte(const fs::path& path, const std::vector<std::byte>& after) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  std::string contents(std::istreambuf_iterator<char>(file), {});
  const std::string needle(reinterpret_cast<const char*>(after.data()), after.size());
  const auto at = contents.find(needle);
  ASSERT_NE(at, std::string::npos);
  file.clear();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(contents[at] ^ 1));
}

TEST_F(Shards, VerifyNamesTheCorruptBlock) {
  write_fixed(file(0), 0, 100);
  flip_byte(file(0), pixels_of(77, 6, 6));
  const VerifyReport report = verify_shard(file(0));
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_NE(report.problems[0].find(file(0).string()), std::string::npos);
  EXPECT_NE(report.problems[0].find("block 1 (samples 64 to 99)"), std::string::npos)
      << report.problems[0];
}

TEST_F(Shards, VerifyNamesCorruptLabels) {
  write_fixed(file(0), 0, 100);
  std::vector<std::int64_t> labels(100);
  for (std::size_t i = 0; i < 100; ++i) labels[i] = static_cast<std::int64_t>(i % 3);
  const auto bytes = std::as_bytes(std::span(labels));
  flip_byte(file(0), {bytes.begin(), bytes.end()});
  const VerifyReport report = verify_shard(file(0));
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_NE(report.problems[0].find("'labels'"), std::string::npos);
}

TEST_F(Shards, MissingDirectory) {
  EXPECT_NE(refusal(directory_.path() / "nowhere").find("No such file or directory"),
            std::string::npos);
}

TEST_F(Shards, EmptyDirectory) { expect_refused(directory_.path().string(), "holds no shards"); }

TEST_F(Shards, NotHdf5) {
  std::ofstream(file(0, 1)) << "certainly not HDF5";
  expect_refused(file(0, 1).string(), "not an HDF5 file");
}

TEST_F(Shards, TruncatedAtSeveralLengths) {
  write_fixed(file(0, 1), 0, 100);
  const auto whole = fs::file_size(file(0, 1));
  for (const auto kept :
       {whole - 1, whole / 2, std::uintmax_t{600}, std::uintmax_t{8}, std::uintmax_t{0}}) {
    fs::resize_file(file(0, 1), kept);
    const std::string message = refusal(directory_.path());
    EXPECT_NE(message.find(file(0, 1).string()), std::string::npos) << kept << ": " << message;
    fs::remove(file(0, 1));
    write_fixed(file(0, 1), 0, 100);
  }
}

TEST_F(Shards, DifferentShapes) {
  write_fixed(file(0), 0, 10, 6);
  write_fixed(file(1), 0, 10, 7);
  expect_refused(file(1).string(), "7x7, not 6x6");
}

TEST_F(Shards, LabelsInSomeShardsOnly) {
  write_fixed(file(0), 0, 10, 6, true);
  write_fixed(file(1), 0, 10, 6, false);
  expect_refused(file(1).string(), "no labels");
}

TEST_F(Shards, MissingShard) {
  write_fixed(file(0, 3), 0, 10);
  write_fixed(file(2, 3), 10, 10);
  expect_refused(directory_.path().string(), "toy-00001-of-00003.h5 is missing");
  fs::remove(file(0, 3));
  expect_refused(directory_.path().string(), "toy-00000-of-00003.h5 is missing");
}

TEST_F(Shards, TwoSetsInOneDirectory) {
  write_fixed(file(0, 1), 0, 10);
  write_fixed(directory_.path() / shard_file_name("zoo", 0, 1), 0, 10);
  expect_refused("zoo-00000-of-00001.h5", "another data set");
}

TEST(MostOpenFiles, IsAQuarterOfWhatIsLeft) {
  EXPECT_EQ(most_open_files(3000, 24, 20024), 3000U);
  EXPECT_EQ(most_open_files(3000, 24, 1024), 250U);
  EXPECT_EQ(most_open_files(10, 24, 1024), 10U);
  EXPECT_EQ(most_open_files(10, 60, 64), 1U);
  EXPECT_EQ(most_open_files(10, 64, 64), 1U);
}

std::size_t open_descriptors() {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

// Threads share the few files that may be open.
TEST_F(Shards, AreReadWithinTheLimitOfOpenFiles) {
  constexpr int kShards = 100;
  for (const bool fixed : {true, false}) {
    for (int s = 0; s < kShards; ++s) {
      fixed ? write_fixed(file(s, kShards), s, 1) : write_variable(file(s, kShards), s, 1);
    }
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit low{open_descriptors() + 40, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    EXPECT_EQ(allow_open_files(kShards), kShards);  // raises its own limit
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);

    std::vector<ShardDescription> described;
    described.reserve(kShards);
    for (int s = 0; s < kShards; ++s) described.push_back(describe_shard(file(s, kShards)));
    const std::size_t descriptors = open_descriptors();  // with that of the first looks' helper
    ShardReader reader(described, 5);
    constexpr int kThreads = 4;
    std::vector<std::jthread> threads;
    threads.reserve(kThreads);
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 3 * kShards; ++i) {
          const auto s = static_cast<std::size_t>((i * (t + 1) * 7) % kShards);
          const auto sample = static_cast<std::int64_t>(s);
          const auto expected = fixed ? pixels_of(sample, 6, 6)
                                      : pixels_of(sample, height_of(sample), width_of(sample));
          std::vector<std::byte> pixels(expected.size());
          reader.read(s, 0, 1, pixels);
          EXPECT_EQ(pixels, expected) << s;
        }
      });
    }
    threads.clear();
    EXPECT_LE(open_descriptors(), descriptors + 5);
    for (int s = 0; s < kShards; ++s) fs::remove(file(s, kShards));
  }
}

void write_arrays(const fs::path& path) {
  constexpr std::int64_t kRows = 400;
  ArrayFile file(path);
  file.create("h", ArrayFile::Type::f32, {kRows, 32});
  file.create("labels", ArrayFile::Type::i64, {kRows});
  file.attribute("format", "arrays");
  const std::vector<float> values(static_cast<std::size_t>(kRows / 4 * 32), 1.5F);
  const std::vector<std::int64_t> labels(static_cast<std::size_t>(kRows / 4), 3);
  for (std::int64_t first = 0; first < kRows; first += kRows / 4) {
    file.write("h", {first}, std::span(values));
    file.write("labels", {first}, std::span(labels));
  }
  file.finish();
}

// HDF5 crashes at the end of a process in which it could not close a file: this test would, too.
TEST_F(Shards, ADiskThatIsFullAtAnyByteLeavesNothing) {
  std::signal(SIGXFSZ, SIG_IGN);
  const std::vector<std::function<void(const fs::path&)>> writers{
      [](const fs::path& path) { write_fixed(path, 0, 600); },
      [](const fs::path& path) { write_variable(path, 0, 600); }, write_arrays};
  for (const auto& write : writers) {
    write(file(0, 1));
    const auto size = fs::file_size(file(0, 1));
    fs::remove(file(0, 1));
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    constexpr std::uintmax_t kPlaces = 40;
    for (std::uintmax_t place = 0; place < kPlaces; ++place) {
      const rlimit limit{place * size / kPlaces, before.rlim_max};
      ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
      try {
        write(file(0, 1));
        ADD_FAILURE() << "written with room for " << limit.rlim_cur << " of " << size << " bytes";
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(file(0, 1).string()), std::string::npos)
            << error.what();
      }
    }
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_TRUE(fs::is_empty(directory_.path()));
    write(file(0, 1));  // HDF5 is as before
    EXPECT_EQ(fs::file_size(file(0, 1)), size);
    fs::remove(file(0, 1));
  }
}

TEST_F(Shards, AShardThatIsReplacedAfterTheStartIsNotRead) {
  write_fixed(file(0), 0, 5);
  write_fixed(file(1), 5, 5);
  const ShardSet set(directory_.path());
  std::vector<std::byte> bytes(set.stored_bytes(0, 10));
  fs::last_write_time(file(1), fs::last_write_time(file(1)) + std::chrono::seconds(2));
  try {
    set.read(0, 10, bytes);
    FAIL() << "the changed shard was read";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(file(1).string() + ": was changed"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace simclr
