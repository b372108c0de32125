// Files that appear whole or not at all.

#include "simclr/io/atomic_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>
#include <sstream>

#include "simclr/io/file.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  [[nodiscard]] mode_t mode_of(const fs::path& path) const {
    struct stat status {};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0);
    return status.st_mode;
  }

  TemporaryDirectory directory;
  fs::path target = directory.path() / "file";
};

TEST_F(AtomicFileTest, TemporaryNamesCannotBeForeseen) {
  std::set<std::string> names;
  for (int i = 0; i < 100; ++i) {
    const TemporaryFile file(target);
    EXPECT_TRUE(S_ISREG(mode_of(file.path())));
    EXPECT_TRUE(file.path().filename().string().starts_with("file.tmp-"));
    names.insert(file.path().string());
  }
  EXPECT_EQ(names.size(), 100U);
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

TEST_F(AtomicFileTest, ReplacesALinkInsteadOfFollowingIt) {
  const fs::path foreign = directory.path() / "foreign";
  std::ofstream(foreign) << "of another user";
  fs::create_symlink(foreign, target);
  write_file(target, "new");
  EXPECT_TRUE(S_ISREG(mode_of(target)));
  EXPECT_EQ(read_text_file(target), "new");
  EXPECT_EQ(read_text_file(foreign), "of another user");
}

TEST_F(AtomicFileTest, FollowsTheUsersMask) {
  const mode_t before = ::umask(0);
  for (const mode_t mask : {0U, 022U, 027U, 077U}) {
    ::umask(mask);
    write_file(target, "text");
    EXPECT_EQ(mode_of(target) & 0777U, 0666U & ~mask);
    AppendedFile appended(directory.path() / "rows");
    EXPECT_EQ(mode_of(directory.path() / "rows") & 0777U, 0666U & ~mask);
    fs::remove(directory.path() / "rows");
  }
  ::umask(before);
}

TEST_F(AtomicFileTest, StaysAsItIsWhenTheNewContentIsNotWantedAnyMore) {
  write_file(target, "old");
  write_file(
      target, [](AtomicFile& file) { file.write("new"); }, [] { return false; });
  EXPECT_EQ(read_text_file(target), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(directory.path()), {}), 1);
}

}  // namespace
}  // namespace simclr
