// The ranks of a node look at files together: each file is looked at once, not once a rank.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/io/fingerprint.hpp"
#include "simclr/io/first_look.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/io/shard_writer.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFiles = 11;

class FirstLookOnRanks : public testing::Test {
 protected:
  FirstLookOnRanks() {
    if (world_->rank() == 0) own_.emplace();
    directory_ = broadcast_text(*world_, own_ ? own_->path().string() : "");
    for (std::size_t i = 0; i < kFiles; ++i) {
      files_.push_back(directory_ / ("file" + std::to_string(i)));
      if (own_) std::ofstream(files_.back()) << "content of " << i;
    }
    world_->barrier();
  }
  ~FirstLookOnRanks() override { world_->barrier(); }

  /// Leaves a byte beside the file; refuses number 3.
  static void look(const fs::path& file) {
    std::ofstream(file.string() + ".looks", std::ios::app) << 'x';
    if (file.filename() == "file3") refuse("{}: not to be read", file.string());
  }
  static std::uintmax_t looks(const fs::path& file) {
    std::error_code none;
    const std::uintmax_t bytes = fs::file_size(file.string() + ".looks", none);
    return none ? 0 : bytes;
  }

  std::unique_ptr<Communicator> world_ = make_world_communicator();
  std::unique_ptr<Communicator> node_ = ranks_of_node(*world_);
  std::optional<TemporaryDirectory> own_;
  fs::path directory_;
  std::vector<fs::path> files_;
};

TEST_F(FirstLookOnRanks, EachFileIsLookedAtOnce) {
  look_first_together(files_, look, *node_);
  for (const fs::path& file : files_) {
    if (file.filename() != "file3") look_first(file, look);
  }
  world_->barrier();
  for (const fs::path& file : files_) {
    const bool left_to_look_first = file.filename() == "file3" && world_->size() == 1;
    EXPECT_EQ(looks(file), left_to_look_first ? 0U : 1U) << file;
  }
  world_->barrier();
  EXPECT_THROW(look_first(files_[3], look), RefusedError);
}

TEST_F(FirstLookOnRanks, RanksMayNameDifferentFiles) {
  const auto rank = static_cast<std::size_t>(world_->rank());
  const std::vector<fs::path> own(files_.begin(),
                                  files_.begin() + static_cast<std::ptrdiff_t>(rank));
  look_first_together(own, look, *node_);
  for (std::size_t i = 0; i < rank && i != 3; ++i) look_first(own[i], look);
}

TEST_F(FirstLookOnRanks, AFileThatChangesIsLookedAtAgain) {
  look_first_together(files_, look, *node_);
  world_->barrier();
  if (world_->rank() == 0) std::ofstream(files_[0]) << "other and longer content";
  world_->barrier();
  const std::uintmax_t before = looks(files_[0]);
  world_->barrier();
  look_first(files_[0], look);
  world_->barrier();
  EXPECT_EQ(looks(files_[0]), before + static_cast<std::uintmax_t>(world_->size()));
}

TEST_F(FirstLookOnRanks, ADataSetThatIsMissingOnOneRankIsRefusedOnAll) {
  if (own_) {
    ShardWriter writer(directory_ / "a.h5", {.name = "toy", .samples = 1});
    writer.append(std::vector<std::byte>(12), 2, 2, 0);
    writer.complete();
    writer.publish();
  }
  world_->barrier();
  const bool missing = world_->rank() == world_->size() - 1;
  EXPECT_THROW((void)open_common(missing ? directory_ / "nowhere" : directory_, "data", *world_),
               RefusedError);
}

}  // namespace
}  // namespace simclr
