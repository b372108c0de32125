// Shards written by h5py without this program: valid ones are read, others refused with their name.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/fingerprint.hpp"
#include "simclr/io/image_file.hpp"
#include "simclr/io/shard_set.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

/// Directory of the files, written once for all tests.
const fs::path& root() {
  static const TemporaryDirectory directory;
  static const bool written = [] {
    const std::string command = std::string(SIMCLR_PYTHON) + " " + SIMCLR_SOURCE_DIR +
                                "/tests/io/write_foreign_shards.py " + directory.path().string();
    return std::system(command.c_str()) == 0;  // NOLINT(cert-env33-c): our own script
  }();
  EXPECT_TRUE(written) << "the h5py script failed";
  return directory.path();
}

int expected_pixel(std::int64_t sample, int y, int x, int c) {
  return static_cast<int>((sample * 31 + y * 7 + x * 3 + c * 50) % 256);
}

void expect_pixels(const std::uint8_t* pixels, std::int64_t sample, int height, int width,
                   int tolerance) {
  int worst = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        worst = std::max(worst, std::abs(int{*pixels++} - expected_pixel(sample, y, x, c)));
      }
    }
  }
  EXPECT_LE(worst, tolerance) << "sample " << sample;
}

void expect_readable(const std::string& name, bool variable, bool jpeg = false) {
  const ShardSet set(root() / name);
  ASSERT_EQ(set.info().samples, 9);
  EXPECT_EQ(set.info().fixed_size, !variable);
  EXPECT_EQ(set.info().encoding, jpeg ? ImageEncoding::jpeg : ImageEncoding::raw);
  for (std::int64_t i = 0; i < 9; ++i) {
    const auto extent = set.extent(i);
    EXPECT_EQ(extent.height, variable ? 4 + i % 3 : 5);
    EXPECT_EQ(extent.width, variable ? 6 + i % 2 : 4);
    std::vector<std::byte> bytes(set.stored_bytes(i, 1), std::byte{0xEE});
    set.read(i, 1, bytes);
    if (jpeg) {
      Image image;
      decode_image(bytes, image);
      ASSERT_EQ(image.height, extent.height);
      ASSERT_EQ(image.width, extent.width);
    } else {
      expect_pixels(reinterpret_cast<const std::uint8_t*>(bytes.data()), i, extent.height,
                    extent.width, 0);
    }
  }
  std::vector<std::byte> all(set.stored_bytes(0, 9), std::byte{0xEE});
  set.read(0, 9, all);
  std::vector<std::byte> last(set.stored_bytes(8, 1));
  set.read(8, 1, last);
  EXPECT_TRUE(std::equal(last.begin(), last.end(), all.end() - std::ssize(last)));
}

TEST(ForeignShards, OnlyImages) {
  expect_readable("images_only", false);
  EXPECT_FALSE(ShardSet(root() / "images_only").info().labeled);
}

TEST(ForeignShards, SeveralFilesInNameOrderWithLabelsOfAnyIntegerType) {
  expect_readable("two_files", false);
  const ShardSet set(root() / "two_files");
  EXPECT_EQ(set.labels(), (std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(set.info().classes, 3);
}

TEST(ForeignShards, Chunked) { expect_readable("chunked", false); }

TEST(ForeignShards, CompressedChunksOfSeveralImagesAreReadWithAWarning) {
  testing::internal::CaptureStderr();
  expect_readable("compressed", false);
  const std::string warning = testing::internal::GetCapturedStderr();
  EXPECT_NE(warning.find("compressed in chunks of several images"), std::string::npos) << warning;
  testing::internal::CaptureStderr();
  expect_readable("chunked", false);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(ForeignShards, RawBytes) { expect_readable("raw_bytes", true); }
TEST(ForeignShards, CompressedRawBytes) { expect_readable("compressed_bytes", true); }
TEST(ForeignShards, JpegBytes) { expect_readable("jpeg_bytes", true, true); }
TEST(ForeignShards, JpegBytesWithoutEncodingAttribute) {
  expect_readable("jpeg_no_encoding", true, true);
}

TEST(ForeignShards, TextOfFixedLength) {
  expect_readable("fixed_text", false);
  const ShardSet set(root() / "fixed_text");
  EXPECT_EQ(set.info().name, "foreign");
  EXPECT_EQ(set.info().class_names, (std::vector<std::string>{"cat", "dog"}));
}

TEST(ForeignShards, LinksWithinTheFileAndVirtualDatasetsOfTheSameDirectory) {
  expect_readable("soft_link", false);
  expect_readable("virtual", false);
  expect_readable("virtual_in_folder", false);
}
TEST(ForeignShards, BytesOfEitherByteOrder) { expect_readable("big_endian_bytes", false); }
TEST(ForeignShards, AttributesOfOtherProgramsAreIgnored) {
  expect_readable("of_other_program_version", false);
  expect_readable("attributes_of_others", false);
  const ShardSet set(root() / "attributes_of_others");
  EXPECT_EQ(set.info().name, "attributes_of_others");
  EXPECT_TRUE(set.info().class_names.empty());
  EXPECT_EQ(set.info().classes, 3);
}
TEST(ForeignShards, LabelsAsBoolAndAsAColumnOfEitherByteOrder) {
  EXPECT_EQ(ShardSet(root() / "bool_labels").labels(),
            (std::vector<std::int64_t>{0, 1, 0, 1, 0, 1, 0, 1, 0}));
  EXPECT_EQ(ShardSet(root() / "column_of_labels").labels(),
            (std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2}));
}

TEST(ForeignShards, SeveralColumnsOfLabelsMarkClasses) {
  const ShardSet set(root() / "marks");
  EXPECT_EQ(set.info().mark_columns, 3);
  EXPECT_EQ(set.info().classes, 3);
  EXPECT_FALSE(set.info().labeled);
  EXPECT_TRUE(set.labels().empty());
  const std::vector<std::uint8_t> expected{0, 1, 255, 0, 1, 255, 0, 1, 255, 0, 1, 255, 1, 0,
                                           0, 0, 1,   0, 0, 0,   1, 0, 0,   0, 0, 0,   0};
  EXPECT_EQ(set.marks(), expected);
  EXPECT_NE(fingerprint_of(set).labels, "none");
  EXPECT_TRUE(ShardSet(root() / "column_of_labels").marks().empty());
}

TEST(ForeignShards, NegativeLabelsMeanUnlabeledSamples) {
  const ShardSet set(root() / "partly_labeled");
  EXPECT_EQ(set.labels(), (std::vector<std::int64_t>{-1, 1, 2, -100, 4, 5, 6, 7, 8}));
  EXPECT_TRUE(set.info().labeled);
  EXPECT_EQ(set.info().labeled_samples, 7);
  EXPECT_EQ(set.info().classes, 9);
  const ShardSet none(root() / "labeled_by_none");
  EXPECT_EQ(none.info().labeled_samples, 0);
  EXPECT_EQ(none.info().classes, 0);
}

TEST(ForeignShards, VirtualLabelsOfANarrowerType) {
  EXPECT_EQ(ShardSet(root() / "virtual_narrower_labels").labels(),
            (std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2}));
}

TEST(ForeignShards, NamesOfSamples) {
  for (const char* name : {"names", "names_big_endian"}) {
    expect_readable(name, false);
    const ShardSet set(root() / name);
    ASSERT_TRUE(set.info().named);
    ASSERT_EQ(set.names().size(), 9);
    EXPECT_EQ(set.names()[0], "kl\xC3\xA4ss");
    EXPECT_EQ(set.names()[8], "kl\xC3\xA4sse/8.jpg");
    EXPECT_EQ(to_text(fingerprint_of(set)),
              to_text(fingerprint_of(ShardSet(root() / "images_only"))));
    EXPECT_EQ(verify_shard(root() / name / "data.h5").unchecked.size(), 3u);
  }
  EXPECT_EQ(ShardSet(root() / "names_of_no_length").names()[8], "");
  EXPECT_EQ(ShardSet(root() / "names_not_utf8").names()[0], std::string(6, '\xFF'));
}

TEST(ForeignShards, DatasetsOfOthersThatAreCalledLikeNamesAreLeftAloneWithAWarning) {
  for (const char* name : {"texts_called_names", "only_name_offsets"}) {
    testing::internal::CaptureStderr();
    expect_readable(name, false);
    const std::string warning = testing::internal::GetCapturedStderr();
    EXPECT_NE(warning.find("read as a shard without names"), std::string::npos) << warning;
    EXPECT_FALSE(ShardSet(root() / name).info().named);
    EXPECT_TRUE(ShardSet(root() / name).names().empty());
  }
}

TEST(ForeignShards, DamagedNamesAreRefusedWhenTheyAreRead) {
  for (const char* name : {"bad_names_unread_descending", "bad_names_unread_beyond",
                           "bad_names_unread_negative", "bad_names_unread_large"}) {
    expect_readable(name, false);
    const fs::path file = root() / name / "data.h5";
    const ShardSet set(root() / name);
    const std::string place = file.string() + ": 'name_offsets' ";
    for (int attempt = 0; attempt < 2; ++attempt) {
      try {
        (void)set.names();
        ADD_FAILURE() << name << " was read";
      } catch (const RefusedError& error) {
        EXPECT_TRUE(std::string(error.what()).starts_with(place)) << error.what();
      }
    }
    EXPECT_THROW((void)verify_shard(file), RefusedError) << name;
  }
}

TEST(ForeignShards, EmptyNamesAreNoNames) {
  for (const char* name : {"empty_names", "no_names"}) {
    expect_readable(name, false);
    const ShardSet set(root() / name);
    EXPECT_EQ(set.info().name, name);
    EXPECT_TRUE(set.info().class_names.empty());
  }
}

TEST(ForeignShards, UnusedBitsOfBytesAreRemoved) {
  for (const char* name : {"four_bits_at_0", "four_bits_at_4"}) {
    const ShardSet set(root() / name);
    std::vector<std::byte> bytes(set.stored_bytes(7, 1), std::byte{0xEE});
    set.read(7, 1, bytes);
    std::size_t at = 0;
    for (int y = 0; y < 5; ++y) {
      for (int x = 0; x < 4; ++x) {
        for (int c = 0; c < 3; ++c, ++at) {
          ASSERT_EQ(std::to_integer<int>(bytes.at(at)), expected_pixel(7, y, x, c) & 15) << name;
        }
      }
    }
  }
}

TEST(ForeignShards, VerifyReadsWhatHasNoChecksums) {
  const VerifyReport report = verify_shard(root() / "images_only" / "data.h5");
  EXPECT_TRUE(report.problems.empty());
  EXPECT_EQ(report.unchecked.size(), 1u);
  EXPECT_EQ(report.bytes, 0u);
  EXPECT_EQ(report.unchecked_bytes, 9u * 60u);
  EXPECT_EQ(verify_shard(root() / "jpeg_bytes" / "data.h5").decoded, 9);
}

/// The message with which all ranks refuse the set at the start.
std::string refusal_at_start(const std::string& name) {
  const auto alone = make_self_communicator();
  try {
    (void)open_common(root() / name, "data", *alone);
  } catch (const RefusedError& error) {
    return error.what();
  }
  return "(not refused)";
}

TEST(ForeignShards, DamagedChunksAreNamedAndTheOthersAreRead) {
  for (const char* name : {"damaged_gzip", "damaged_checksum"}) {
    const std::string place = (root() / name / "data.h5").string() + ": 'images' cannot be read: ";
    const ShardSet set(root() / name);
    std::vector<std::byte> bytes(set.stored_bytes(0, 9));
    try {
      set.read(0, 9, bytes);
      ADD_FAILURE() << name << " was read";
    } catch (const DamagedError& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with(place)) << error.what();
    }
    EXPECT_TRUE(refusal_at_start(name).starts_with(place)) << refusal_at_start(name);
    const VerifyReport report = verify_shard(root() / name / "data.h5");
    ASSERT_EQ(report.problems.size(), 1u);
    EXPECT_TRUE(report.problems[0].starts_with(place)) << report.problems[0];
    EXPECT_NE(report.problems[0].find("samples 2 to 3 of this shard"), std::string::npos);
    EXPECT_EQ(report.unchecked_bytes, 7u * 60u);
  }
}

TEST(ForeignShards, DamagedImagesAreNamedAtTheStartAndByVerify) {
  struct Case {
    const char* name;
    int first_damaged;
    std::size_t damaged;
    const char* reason;
  };
  for (const auto& [name, first_damaged, damaged, reason] :
       {Case{"damaged_jpeg", 5, 1, "Premature end"},
        Case{"no_jpeg", 0, 9, "neither a JPEG nor a PNG image"},
        Case{"empty_jpeg", 0, 9, "an empty file"}}) {
    const std::string place =
        fmt::format("{}: sample {} of ", (root() / name / "data.h5").string(), first_damaged);
    const std::string refusal = refusal_at_start(name);
    EXPECT_TRUE(refusal.starts_with(place)) << refusal;
    EXPECT_NE(refusal.find(reason), std::string::npos) << refusal;
    const VerifyReport report = verify_shard(root() / name / "data.h5");
    ASSERT_EQ(report.problems.size(), damaged) << name;
    EXPECT_TRUE(report.problems[0].starts_with(place)) << report.problems[0];
    EXPECT_EQ(report.decoded, static_cast<std::int64_t>(9 - damaged));
  }
}

struct Bad {
  const char* name;
  const char* reason;
};
class BadForeignShards : public testing::TestWithParam<Bad> {};

TEST_P(BadForeignShards, AreRefusedWithTheirNameAndTheReason) {
  const fs::path file = root() / GetParam().name / "data.h5";
  ASSERT_TRUE(fs::exists(file));
  try {
    const ShardSet set(file.parent_path());
    FAIL() << "accepted";
  } catch (const RefusedError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(file.parent_path().string()), std::string::npos) << message;
    EXPECT_NE(message.find(GetParam().reason), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, BadForeignShards,
    testing::Values(
        Bad{"bad_float", "not uint8"}, Bad{"bad_gray", "(9,5,4)"}, Bad{"bad_planes", "(9,3,5,4)"},
        Bad{"bad_nothing", "neither 'images' nor 'bytes'"}, Bad{"bad_no_offsets", "no 'offsets'"},
        Bad{"bad_offsets", "must ascend"}, Bad{"bad_sizes", "sample 3"},
        Bad{"bad_marks", "holds 7"}, Bad{"bad_negative_marks", "holds -1"},
        Bad{"bad_rows_of_marks", "'labels' has shape (8,2)"},
        Bad{"bad_cube_of_labels", "'labels' has shape (9,2,2)"},
        Bad{"bad_columns_of_shards", "mark 3 classes, not 2"},
        Bad{"bad_labels", "'labels' has shape (8)"}, Bad{"bad_real_labels", "integers"},
        Bad{"bad_empty", "no samples"}, Bad{"bad_encoding", "'webp'"}, Bad{"bad_version", "newer"},
        Bad{"bad_format", "simclr-checkpoint"},
        Bad{"bad_external_link", "elsewhere.values; external links"},
        Bad{"bad_soft_link_to_external_link", "elsewhere.values; external links"},
        Bad{"bad_external_labels", "elsewhere.values; external links"},
        Bad{"bad_link_to_fifo", "pipe; external links"},
        Bad{"bad_external_storage", "another file, /etc/passwd"},
        Bad{"bad_virtual_missing", "part1.values, which is not there"},
        Bad{"bad_virtual_missing_in_folder", "parts/p1.values, which is not there"},
        Bad{"bad_virtual_gap", "no virtual source fills"},
        Bad{"bad_virtual_short", "more values than part0.values has"},
        Bad{"bad_virtual_itself", "its own file"},
        Bad{"bad_virtual_elsewhere", "../elsewhere.values, outside"},
        Bad{"bad_filter", "filter 'lzf' (32000)"}, Bad{"bad_unwritten_chunks", "7 of its 9 chunks"},
        Bad{"bad_unwritten_compressed", "7 of its 9 chunks"}, Bad{"bad_unwritten", "never written"},
        Bad{"bad_height", "only in part"}, Bad{"bad_terabytes", "0 of its 16384 chunks"},
        Bad{"bad_large_labels", "9223372036854775807 or more"},
        Bad{"bad_virtual_real",
            "'images' is of type uint8, but its values in source.values, "
            "dataset 'data', are of type float32"},
        Bad{"bad_virtual_wide", "of type int16"}, Bad{"bad_virtual_signed", "of type int8"},
        Bad{"bad_virtual_unsigned_labels", "of type uint64"},
        Bad{"bad_virtual_real_labels",
            "'labels' is of type int64, but its values in "
            "source.values, dataset 'data', are of type float64"},
        Bad{"bad_negative_offset", "'offsets' begins with -5"},
        Bad{"bad_names_text", "'names' is not uint8"},
        Bad{"bad_names_real", "'names' is not uint8"},
        Bad{"bad_names_wide", "'names' is not uint8"},
        Bad{"bad_names_signed", "'names' is not uint8"},
        Bad{"bad_names_scalar", "'names' is not one-dimensional"},
        Bad{"bad_names_table", "'names' is not one-dimensional"},
        Bad{"bad_name_offsets_real", "'name_offsets' does not hold integers"},
        Bad{"bad_name_offsets_short", "'name_offsets' has shape (9), not (N+1) for the 9 samples"},
        Bad{"bad_name_offsets_long", "'name_offsets' has shape (11)"},
        Bad{"bad_name_offsets_table", "'name_offsets' has shape (10,1)"},
        Bad{"bad_names_elsewhere", "elsewhere.values; external links"}),
    [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace simclr
