// The identity of a data set: equal for copies, another for anything else.

#include "simclr/io/fingerprint.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "simclr/core/check.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/io/shard_writer.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

struct Content {
  std::int64_t samples = 60;
  int side = 6;
  bool labeled = true;
  bool fixed_size = true;
  std::int64_t changed_sample = -1;  ///< has another last pixel
  std::int64_t relabeled_sample = -1;
};

class FingerprintTest : public testing::Test {
 protected:
  /// Writes the content as `shards` shards and returns its fingerprint.
  Fingerprint write(const std::string& name, const Content& content, std::int64_t shards = 1) {
    const fs::path directory = directory_.path() / name;
    fs::create_directories(directory);
    for (std::int64_t shard = 0; shard < shards; ++shard) {
      const std::int64_t first = content.samples * shard / shards;
      const std::int64_t end = content.samples * (shard + 1) / shards;
      ShardSpec spec{.name = name, .samples = end - first, .labeled = content.labeled};
      if (content.fixed_size) spec.fixed_size = ShardSpec::Size{content.side, content.side};
      ShardWriter writer(directory / shard_file_name(name, shard, shards), spec);
      for (std::int64_t sample = first; sample < end; ++sample) append(writer, content, sample);
      writer.complete();
      writer.publish();
    }
    return fingerprint_of(ShardSet(directory));
  }

  TemporaryDirectory directory_;

 private:
  static void append(ShardWriter& writer, const Content& content, std::int64_t sample) {
    const int width =
        content.fixed_size ? content.side : content.side + static_cast<int>(sample % 2);
    std::vector<std::byte> pixels(static_cast<std::size_t>(content.side * width * 3),
                                  static_cast<std::byte>(sample & 255));
    if (sample == content.changed_sample) pixels.back() = std::byte{77};
    writer.append(pixels, content.side, width,
                  sample % (sample == content.relabeled_sample ? 2 : 3));
  }
};

TEST_F(FingerprintTest, IsThatOfTheContent) {
  const Fingerprint original = write("original", {});
  EXPECT_EQ(difference(original, write("copy", {})), "");
  EXPECT_EQ(difference(original, write("divided", {}, 4)), "");
  fs::rename(directory_.path() / "original", directory_.path() / "moved");
  fs::create_directory_symlink(directory_.path() / "moved", directory_.path() / "link");
  EXPECT_EQ(difference(original, fingerprint_of(ShardSet(directory_.path() / "moved" / ""))), "");
  EXPECT_EQ(difference(original, fingerprint_of(ShardSet(directory_.path() / "link"))), "");
}

TEST_F(FingerprintTest, SaysWhatDiffers) {
  const Fingerprint original = write("original", {});
  EXPECT_EQ(difference(original, write("more", {.samples = 80})), "samples 60 -> 80");
  EXPECT_EQ(difference(original, write("smaller", {.side = 5})), "images raw 6x6 -> raw 5x5");
  EXPECT_EQ(difference(original, write("sizes", {.fixed_size = false})), "images raw 6x6 -> raw");
  EXPECT_EQ(difference(original, write("pixel", {.changed_sample = 31})), "other pixels");
  EXPECT_EQ(difference(original, write("label", {.relabeled_sample = 5})), "other labels");
  EXPECT_EQ(difference(original, write("unlabeled", {.labeled = false})), "labels removed");
  EXPECT_EQ(difference(write("unlabeled", {.labeled = false}), original), "labels added");
  EXPECT_EQ(difference(original, write("both", {.changed_sample = 31, .relabeled_sample = 5})),
            "other pixels, other labels");
}

// The fingerprint reads only a few samples of a set of 24 MB; stored checksums show the rest.
TEST_F(FingerprintTest, TakesStoredChecksumsOfSetsThatAreNotReadAsAWhole) {
  const Content large{.samples = 2000, .side = 64};
  const Content changed{.samples = 2000, .side = 64, .changed_sample = 1501};
  const Fingerprint original = write("large", large, 2);
  const Fingerprint other = write("changed", changed, 2);
  EXPECT_EQ(original.pixels, other.pixels) << "sample 1501 was read, unlike what this test wants";
  EXPECT_EQ(difference(original, other), "other pixels");
  EXPECT_EQ(difference(original, write("divided", large, 3)), "");
}

TEST_F(FingerprintTest, ReadsBackItsText) {
  const Fingerprint original = write("original", {.fixed_size = false}, 2);
  const Fingerprint read = parse_fingerprint(to_text(original), "here");
  EXPECT_EQ(to_text(read), to_text(original));
  EXPECT_EQ(difference(original, read), "");
  for (const char* bad : {"", "samples x\n", "samples 5", "images raw\n"}) {
    EXPECT_THROW((void)parse_fingerprint(bad, "here"), RefusedError) << bad;
  }
}

TEST_F(FingerprintTest, OfOneRankNeedsNoOther) {
  const Fingerprint original = write("original", {});
  const auto alone = make_self_communicator();
  EXPECT_EQ(
      difference(original, open_common(directory_.path() / "original", "data", *alone).fingerprint),
      "");
  EXPECT_THROW((void)open_common(directory_.path() / "none", "data", *alone), RefusedError);
}

}  // namespace
}  // namespace simclr
