// Which errors are retried, how often, and what the last try leaves behind.

#include "simclr/io/retry.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "simclr/io/atomic_file.hpp"
#include "simclr/io/file.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

constexpr std::array<std::chrono::milliseconds, 2> kShort{};  // three tries

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const IoError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Retry, SucceedsAfterTransientErrors) {
  int tries = 0;
  const int value = with_retries(
      "file",
      [&](int attempt) {
        EXPECT_EQ(attempt, ++tries);
        if (attempt < 3) fail_io("file: cannot be read", EIO);
        return 42;
      },
      kShort);
  EXPECT_EQ(value, 42);
  EXPECT_EQ(tries, 3);
}

TEST(Retry, GivesUpAndNamesTheFileAndTheTries) {
  int tries = 0;
  const auto work = [&](int) {
    ++tries;
    fail_io("cannot be read", ESTALE);
  };
  EXPECT_EQ(message_of([&] { with_retries("dir/file", work, kShort); }),
            "dir/file: cannot be read: Stale file handle (gave up after 3 tries)");
  EXPECT_EQ(tries, 3);
}

TEST(Retry, ThrowsPermanentErrorsAtOnce) {
  for (const int error : {ENOSPC, EDQUOT, EROFS, EACCES, EPERM, ENOENT, EFBIG, 0}) {
    EXPECT_FALSE(is_transient(error)) << error;
    int tries = 0;
    EXPECT_EQ(message_of([&] {
                with_retries(
                    "file",
                    [&](int) {
                      ++tries;
                      throw IoError("file: no", error);
                    },
                    kShort);
              }),
              "file: no");
    EXPECT_EQ(tries, 1);
  }
}

TEST(Retry, DoesNotRetryErrorsOtherThanIoError) {
  int tries = 0;
  const auto work = [&](int) {
    ++tries;
    fail("something else");
  };
  EXPECT_THROW(with_retries("file", work, kShort), Error);
  EXPECT_EQ(tries, 1);
}

TEST(Retry, NestedRetriesDoNotMultiply) {
  int tries = 0;
  const auto inner = [&](int) {
    ++tries;
    fail_io("file: cannot be read", EIO);
  };
  const auto outer = [&](int) { with_retries("file", inner, kShort); };
  EXPECT_THROW(with_retries("file", outer, kShort), IoError);
  EXPECT_EQ(tries, 3);
}

TEST(Retry, RewritesAnAtomicFileFromTheBeginning) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "file";
  std::ofstream(file) << "old";
  int tries = 0;
  write_file(file, [&](AtomicFile& out) {
    out.write("begin ");
    if (++tries == 1) fail_io("cannot write the rest", EIO);
    out.write("end");
  });
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(read_text_file(file), "begin end");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

TEST(TextFile, AppendsAndReadsTheWholeFile) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "file";
  AppendedFile(file).append("one\n");
  AppendedFile again(file);
  again.append("two\n");
  again.append("");
  EXPECT_EQ(read_text_file(file), "one\ntwo\n");
  const std::string large(200000, 'x');
  again.append(large);
  EXPECT_EQ(read_text_file(file), "one\ntwo\n" + large);
  EXPECT_NE(message_of([&] { read_text_file(directory.path() / "absent"); }).find("absent"),
            std::string::npos);
  EXPECT_THROW(AppendedFile(directory.path() / "absent" / "file"), IoError);
}

// Runs again with a library that makes the first try fail (tests/io/CMakeLists.txt).
TEST(ReadingFiles, SurvivesATransientError) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "faulty.bin";
  std::ofstream(file) << "content";
  const MappedFile mapped(file);
  const std::string_view bytes(reinterpret_cast<const char*>(mapped.bytes().data()),
                               mapped.bytes().size());
  EXPECT_EQ(bytes, "content");
  EXPECT_EQ(read_text_file(file), "content");
}

}  // namespace
}  // namespace simclr
