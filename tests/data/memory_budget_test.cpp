// The memory that a cache may use under each kind of limit.

#include "simclr/data/memory_budget.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kGigabyte = 1'000'000'000;

/// Simulates /proc/self/cgroup and /sys/fs/cgroup in a directory.
class ControlGroups : public testing::Test {
 protected:
  void write(const fs::path& file, const std::string& text) {
    const fs::path path = directory_.path() / file;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text << '\n';
  }
  void limit_version_2(const fs::path& group, const std::string& limit, std::uint64_t usage,
                       std::uint64_t inactive_file) {
    write(group / "memory.max", limit);
    write(group / "memory.current", std::to_string(usage));
    write(group / "memory.stat",
          "anon 5\ninactive_anon 7\ninactive_file " + std::to_string(inactive_file));
  }
  std::optional<std::uint64_t> free_bytes() {
    return cgroup_memory_bytes(directory_.path() / "memberships", directory_.path() / "mount");
  }

  TemporaryDirectory directory_;
};

TEST_F(ControlGroups, FreeMemoryIsTheLimitMinusTheUsage) {
  write("memberships", "0::/job/step");
  limit_version_2("mount/job/step", std::to_string(64 * kGigabyte), 10 * kGigabyte, 4 * kGigabyte);
  EXPECT_EQ(free_bytes(), 58 * kGigabyte);
}

TEST_F(ControlGroups, LimitsOfParentGroupsCount) {
  write("memberships", "0::/job/step/task");
  limit_version_2("mount/job/step/task", "max", 3 * kGigabyte, 0);
  limit_version_2("mount/job/step", std::to_string(64 * kGigabyte), 3 * kGigabyte, 0);
  limit_version_2("mount/job", std::to_string(20 * kGigabyte), 15 * kGigabyte, 0);
  EXPECT_EQ(free_bytes(), 5 * kGigabyte);
}

TEST_F(ControlGroups, NothingIsFreeBeyondTheLimit) {
  write("memberships", "0::/job");
  limit_version_2("mount/job", std::to_string(2 * kGigabyte), 3 * kGigabyte, 0);
  EXPECT_EQ(free_bytes(), 0U);
}

TEST_F(ControlGroups, ReadsVersionsOneAndTwo) {
  write("memberships", "5:cpuset:/elsewhere\n4:cpuacct,memory:/slurm/job\n0::/job");
  write("mount/memory/slurm/job/memory.limit_in_bytes", std::to_string(8 * kGigabyte));
  write("mount/memory/slurm/job/memory.usage_in_bytes", std::to_string(3 * kGigabyte));
  write("mount/memory/slurm/job/memory.stat",
        "inactive_file 1\ntotal_inactive_file " + std::to_string(kGigabyte));
  EXPECT_EQ(free_bytes(), 6 * kGigabyte);
  limit_version_2("mount/unified/job", std::to_string(4 * kGigabyte), 0, 0);
  EXPECT_EQ(free_bytes(), 4 * kGigabyte);
}

TEST_F(ControlGroups, ReturnsNothingWithoutLimits) {
  EXPECT_EQ(free_bytes(), std::nullopt);
  write("memberships", "0::/job\n1:name=systemd:/\nnonsense");
  limit_version_2("mount/job", "max", kGigabyte, 0);
  EXPECT_EQ(free_bytes(), std::nullopt);
}

TEST(MemoryBudget, LeavesATenthToTheRestOfTheJob) {
  const MemoryBudget budget{10 * kGigabyte, "available memory"};
  EXPECT_TRUE(fits(9 * kGigabyte, budget));
  EXPECT_FALSE(fits(9 * kGigabyte + 1, budget));
  EXPECT_FALSE(fits(1, {0, "/dev/shm"}));
}

TEST(MemoryBudget, DoesNotExceedThisMachinesMemory) {
  std::ifstream in("/proc/meminfo");
  std::string key;
  std::uint64_t kibibytes = 0;
  in >> key >> kibibytes;
  ASSERT_EQ(key, "MemTotal:");
  for (const bool shared : {false, true}) {
    const MemoryBudget budget = measure_memory_budget(shared);
    EXPECT_GT(budget.bytes, 0) << budget.limited_by;
    EXPECT_LE(budget.bytes, kibibytes * 1024) << budget.limited_by;
  }
}

}  // namespace
}  // namespace simclr
