#include "simclr/io/safetensors.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/io/atomic_file.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

std::string file_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

SafeTensors two_tensors() {
  return {{{"step", "7"}}, {{"conv.weight", {1, 2, 1, 1}, {1.5F, -2.0F}}, {"bias", {1}, {3.0F}}}};
}

TEST(Safetensors, FollowsTheFormat) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "t.safetensors";
  write_safetensors(file, two_tensors());
  const std::string bytes = file_bytes(file);
  std::uint64_t length = 0;
  ASSERT_GE(bytes.size(), sizeof(length));
  std::memcpy(&length, bytes.data(), sizeof(length));
  EXPECT_EQ(length % 8, 0U);
  ASSERT_EQ(bytes.size(), 8 + length + 3 * sizeof(float));
  const std::string header = bytes.substr(8, length);
  EXPECT_EQ(header.substr(0, header.find_last_not_of(' ') + 1),
            R"({"__metadata__":{"step":"7"},)"
            R"("conv.weight":{"dtype":"F32","shape":[1,2,1,1],"data_offsets":[0,8]},)"
            R"("bias":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})");
  std::array<float, 3> values{};
  std::memcpy(values.data(), bytes.data() + 8 + length, sizeof(values));
  EXPECT_EQ(values, (std::array<float, 3>{1.5F, -2.0F, 3.0F}));
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "t.safetensors";
  write_safetensors(file, two_tensors());
  const SafeTensors read = read_safetensors(file);
  EXPECT_EQ(read.metadata, two_tensors().metadata);
  ASSERT_EQ(read.tensors.size(), 2U);
  EXPECT_EQ(read.tensors[0].name, "conv.weight");
  EXPECT_EQ(read.tensors[0].shape, (Shape{1, 2, 1, 1}));
  EXPECT_EQ(read.tensors[0].values, (std::vector<float>{1.5F, -2.0F}));
  EXPECT_EQ(read.tensors[1].values, (std::vector<float>{3.0F}));
}

TEST(Safetensors, RefusesTruncatedAndForeignFiles) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "t.safetensors";
  write_safetensors(file, two_tensors());
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  EXPECT_THROW(read_safetensors(file), RefusedError);
  std::filesystem::resize_file(file, 20);
  EXPECT_THROW(read_safetensors(file), RefusedError);
  std::filesystem::resize_file(file, 3);
  EXPECT_THROW(read_safetensors(file), RefusedError);
  std::ofstream(file) << "this is a text file, longer than a header length";
  EXPECT_THROW(read_safetensors(file), RefusedError);
  EXPECT_THROW(read_safetensors(directory.path() / "absent"), RefusedError);
  EXPECT_THROW(read_safetensors(directory.path()), RefusedError);
}

/// The message with which a file of this header and 8 bytes of data is refused.
std::string refusal(const std::string& header, std::uint64_t length) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "t.safetensors";
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof(length));
  out << header << "eight by";
  out.close();
  try {
    (void)read_safetensors(file);
  } catch (const RefusedError& error) {
    std::string message = error.what();
    EXPECT_NE(message.find(file.string()), std::string::npos) << message;
    EXPECT_EQ(message.find("json.exception"), std::string::npos) << message;
    return message;
  }
  return "(not refused)";
}
std::string refusal(const std::string& header) { return refusal(header, header.size()); }

TEST(Safetensors, RefusesShapesThatDoNotFitTheData) {
  for (const char* shape :
       {"[3]", "[-2]", "[-1,-2]", "[4294967296,4294967296,2]", "[1,1,1,1,2]",
        "[9223372036854775807,2]", "[9223372036854775808,2]", "[0]", "[2.0]", "2", "null"}) {
    const std::string message = refusal(std::string(R"({"w":{"dtype":"F32","shape":)") + shape +
                                        R"(,"data_offsets":[0,8]}})");
    EXPECT_NE(message.find("tensor 'w'"), std::string::npos) << shape << ": " << message;
  }
}

TEST(Safetensors, RefusesPlacesThatOverlapOrLeaveGaps) {
  const auto two = [](const char* first, const char* second) {
    return refusal(std::string(R"({"v":{"dtype":"F32","shape":[1],"data_offsets":)") + first +
                   R"(},"w":{"dtype":"F32","shape":[1],"data_offsets":)" + second + "}}");
  };
  EXPECT_EQ(two("[4,8]", "[0,4]"), "(not refused)");
  EXPECT_NE(two("[0,4]", "[0,4]").find("overlap"), std::string::npos);
  const std::string one = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":)";
  EXPECT_NE(refusal(one + "[4,8]}}").find("gap"), std::string::npos);
  EXPECT_NE(refusal(one + "[0,4]}}").find("8 bytes of data, its tensors 4"), std::string::npos);
  for (const char* range : {"[8,4]", "[8,12]", "[-4,0]", "[0.5,4.5]", "[0]", "[0,4,8]", "7",
                            "[18446744073709551612,0]"}) {
    EXPECT_NE(refusal(one + range + "}}").find("tensor 'w'"), std::string::npos) << range;
  }
}

TEST(Safetensors, RefusesHeadersThatAreNoneOrNameATensorTwice) {
  const std::string tensor = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  EXPECT_NE(refusal(R"({"w":)" + tensor + R"(,"w":)" + tensor + "}").find("'w' twice"),
            std::string::npos);
  for (const char* header : {"5", "[]", "{", R"({"w":5})", R"({"w":{}})", R"({"__metadata__":5})",
                             R"({"w":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})",
                             R"({"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})"}) {
    EXPECT_NE(refusal(header), "(not refused)") << header;
  }
  for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{1} << 32, ~std::uint64_t{0}}) {
    EXPECT_NE(refusal("{}", length), "(not refused)") << length;
  }
}

TEST(AtomicFile, LeavesNothingBehindWithoutCommit) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "kept";
  std::ofstream(file) << "old";
  {
    AtomicFile out(file);
    out.write("new");
  }
  EXPECT_EQ(file_bytes(file), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
  AtomicFile out(file);
  out.write("new");
  out.commit();
  EXPECT_EQ(file_bytes(file), "new");
  EXPECT_THROW(AtomicFile(directory.path() / "absent" / "file"), Error);
}

}  // namespace
}  // namespace simclr
