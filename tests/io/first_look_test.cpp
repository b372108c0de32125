// A look at a file in another process: what happens there, happens only there.

#include "simclr/io/first_look.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "simclr/core/check.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;
using Look = void (*)(const fs::path&);

class FirstLookTest : public testing::Test {
 protected:
  FirstLookTest() { std::ofstream(file_) << "content"; }

  /// The message with which the look is refused.
  std::string refusal(Look look) const {
    try {
      look_first(file_, look);
    } catch (const RefusedError& error) {
      EXPECT_NE(std::string(error.what()).find(file_.string()), std::string::npos);
      return error.what();
    }
    return "(not refused)";
  }

  TemporaryDirectory directory_;
  fs::path file_ = directory_.path() / "file";
};

TEST_F(FirstLookTest, ReturnsWhenTheFileIsGood) {
  const auto look = [](const fs::path& file) {
    if (fs::file_size(file) != 7) fail("it is another file");
    std::ofstream(file.string() + ".seen") << "by the child";
  };
  look_first(file_, look);
  EXPECT_TRUE(fs::exists(directory_.path() / "file.seen"));
}

TEST_F(FirstLookTest, ThrowsWhatTheLookThrows) {
  EXPECT_EQ(refusal([](const fs::path& file) { refuse("{}: is wrong", file.string()); }),
            file_.string() + ": is wrong");
  const auto fails = [](const fs::path&) { fail("no such attribute"); };
  EXPECT_THROW(look_first(file_, fails), Error);
  try {
    look_first(file_, [](const fs::path&) { throw IoError("stale", ESTALE); });
    FAIL() << "nothing was thrown";
  } catch (const IoError& error) {
    EXPECT_EQ(error.error_number(), ESTALE);
  }
}

TEST_F(FirstLookTest, RefusesAFileThatCrashesItsReader) {
  for (int again = 0; again < 2; ++again) {
    const std::string crash = refusal([](const fs::path&) { std::raise(SIGSEGV); });
    EXPECT_NE(crash.find("crashes the HDF5 library"), std::string::npos) << crash;
  }
  look_first(file_, [](const fs::path&) {});  // the helper survives
}

TEST_F(FirstLookTest, FullMemoryAndAHungFileServerAreNoFaultsOfTheFile) {
  const auto number_of = [&](Look look) {
    try {
      look_first(file_, look);
    } catch (const IoError& error) {
      return error.error_number();
    }
    return 0;
  };
  EXPECT_EQ(number_of([](const fs::path&) { std::raise(SIGKILL); }), ENOMEM);
  EXPECT_EQ(number_of([](const fs::path&) { std::raise(SIGALRM); }), ETIMEDOUT);
}

TEST_F(FirstLookTest, LooksOnceAtAFileThatStaysAsItIs) {
  const auto look = [](const fs::path& file) { std::ofstream(file.string() + ".seen"); };
  look_first(file_, look);
  ASSERT_TRUE(fs::remove(file_.string() + ".seen"));
  look_first(file_, look);
  EXPECT_FALSE(fs::exists(file_.string() + ".seen"));
  std::ofstream(file_) << "other content";
  look_first(file_, look);
  EXPECT_TRUE(fs::exists(file_.string() + ".seen"));
}

TEST_F(FirstLookTest, RefusesAFileThatTakesTooMuchTime) {
  const std::string message = refusal([](const fs::path&) { std::raise(SIGXCPU); });
  EXPECT_NE(message.find("takes more than 10 s"), std::string::npos) << message;
}

TEST_F(FirstLookTest, RefusesAFileThatTakesTooMuchMemory) {
  const auto look = [](const fs::path&) {
    constexpr std::size_t kBytes = std::size_t{4} << 30;
    const std::string memory(kBytes, 'x');
    if (memory.back() != 'x') fail("memory is lost");
  };
  try {
    look_first(file_, look);
    FAIL() << "4 GiB were allocated";
  } catch (const Error& error) {
    // AddressSanitizer ends a process that asks for too much.
    const std::string message = error.what();
    EXPECT_TRUE(message.find("more memory") != std::string::npos ||
                message.find("crashes the HDF5 library") != std::string::npos)
        << message;
  }
}

}  // namespace
}  // namespace simclr
