#include "simclr/core/cause.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <new>
#include <system_error>
#include <vector>

#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/names.hpp"
#include "simclr/core/system.hpp"

namespace simclr {
namespace {

std::filesystem::filesystem_error file_error(const char* what, std::errc code) {
  return {what, "/a/b", std::make_error_code(code)};
}

TEST(MessageOf, NamesTheFileAndTheActionOfAFileSystemError) {
  EXPECT_EQ(message_of(file_error("cannot create directories", std::errc::permission_denied)),
            "cannot create /a/b: Permission denied");
  EXPECT_EQ(message_of(file_error("cannot rename", std::errc::read_only_file_system)),
            "cannot rename /a/b: Read-only file system");
  EXPECT_EQ(message_of(file_error("status", std::errc::permission_denied)),
            "cannot read /a/b: Permission denied");
  try {
    (void)std::filesystem::file_size("/nowhere/at/all");
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_EQ(message_of(error), "cannot read /nowhere/at/all: No such file or directory");
    EXPECT_TRUE(is_refusal(error));
    EXPECT_EQ(cause_of(error), Cause::io);
  }
}

TEST(MessageOf, SaysWhatTheProgramWasDoingWhenMemoryRunsOut) {
  activity().begin("reading a batch");
  activity().at_step(12);
  const std::string expected = "out of memory while reading a batch (step 12): this process holds ";
  EXPECT_TRUE(message_of(std::bad_alloc()).starts_with(expected)) << message_of(std::bad_alloc());
  try {
    std::vector<double>().resize(std::vector<double>().max_size() + 1);
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_TRUE(message_of(error).starts_with(expected)) << message_of(error);
    EXPECT_FALSE(is_refusal(error));
  }
  activity().at_step(0);
  const std::system_error threads(std::make_error_code(std::errc::resource_unavailable_try_again));
  EXPECT_TRUE(message_of(threads).starts_with(
      "cannot start another thread while reading a batch; lower --threads"));
  EXPECT_EQ(message_of(std::logic_error("unforeseen")),
            "internal error while reading a batch: unforeseen");
}

#if !defined(__SANITIZE_ADDRESS__)
TEST(MessageOf, SaysHowMuchMemoryWasNeeded) {
  activity().begin("reading a batch");
  for (const bool aligned : {false, true}) {
    try {
      constexpr std::size_t kBytes = std::size_t{1} << 46;
      struct alignas(64) Line {
        std::byte bytes[64];
      };
      if (aligned) {
        (void)std::vector<Line>(kBytes / sizeof(Line));
      } else {
        (void)std::vector<char>(kBytes);
      }
      FAIL();
    } catch (const std::exception& error) {
      EXPECT_TRUE(
          message_of(error).starts_with("out of memory while reading a batch: needed "
                                        "70368744.2 MB more, this process holds "))
          << message_of(error);
    }
  }
}
#endif

TEST(MessageOf, LeavesTheProgramsOwnMessages) {
  EXPECT_EQ(message_of(Error("as it is")), "as it is");
  EXPECT_EQ(message_of(RefusedError("as it is")), "as it is");
}

TEST(IsRefusal, IsTrueForWhatTheUserCanMend) {
  EXPECT_TRUE(is_refusal(RefusedError("no")));
  EXPECT_TRUE(is_refusal(file_error("status", std::errc::not_a_directory)));
  EXPECT_TRUE(is_refusal(IoError("no", EACCES)));
  EXPECT_FALSE(is_refusal(IoError("no", ENOSPC)));
  EXPECT_FALSE(is_refusal(IoError("unknown")));
  EXPECT_FALSE(is_refusal(file_error("write", std::errc::io_error)));
  EXPECT_FALSE(is_refusal(Error("no")));
  EXPECT_FALSE(is_refusal(std::bad_alloc()));
}

TEST(ProcBytes, AreThoseOfALineOrNothing) {
  const auto total = proc_bytes("/proc/meminfo", "MemTotal:");
  ASSERT_TRUE(total);
  EXPECT_GT(*total, std::uint64_t{1} << 26);
  EXPECT_FALSE(proc_bytes("/proc/meminfo", "Mem"));
  EXPECT_FALSE(proc_bytes("/nowhere/meminfo", "MemTotal:"));
}

TEST(ShellWord, QuotesOnlyWhatAShellWouldChange) {
  EXPECT_EQ(shell_word("runs/r50_a-1.2"), "runs/r50_a-1.2");
  EXPECT_EQ(shell_word("my run"), "'my run'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("$HOME"), "'$HOME'");
}

}  // namespace
}  // namespace simclr
