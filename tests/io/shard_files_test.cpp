// Which files of a directory are a data set: decided by their names alone, before one is opened.

#include "io/shard_files.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "simclr/core/check.hpp"
#include "simclr/io/data_parts.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

class ShardFiles : public testing::Test {
 protected:
  void make(const Names& names) {
    for (const std::string& name : names) std::ofstream(directory_.path() / name) << "x";
  }
  Names found() {
    Names names;
    for (const fs::path& path : find_shards(directory_.path())) names.push_back(path.filename());
    return names;
  }
  void expect_refused(const std::string& reason) {
    try {
      EXPECT_TRUE(found().empty()) << "not refused; expected: " << reason;
    } catch (const RefusedError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(reason), std::string::npos) << message;
      EXPECT_NE(message.find(directory_.path().string()), std::string::npos) << message;
    }
  }
  void clear() {
    for (const auto& entry : fs::directory_iterator(directory_.path())) fs::remove(entry);
  }
  TemporaryDirectory directory_;
};

TEST_F(ShardFiles, AreTakenInTheOrderOfTheirNames) {
  make({"b.h5", "a.hdf5", "c.h5", "notes.txt", "c.h5.tmp-host-1", "damaged.txt"});
  EXPECT_EQ(found(), (Names{"a.hdf5", "b.h5", "c.h5"}));
}

TEST_F(ShardFiles, MayBeOneFile) {
  make({"train.h5", "test.h5"});
  EXPECT_EQ(find_shards(directory_.path() / "test.h5"),
            std::vector<fs::path>{directory_.path() / "test.h5"});
}

TEST_F(ShardFiles, HiddenOnesAreSkipped) {
  make({"a.h5", "._a.h5", ".test.h5"});
  fs::create_directory(directory_.path() / ".git");
  EXPECT_EQ(found(), Names{"a.h5"});
}

TEST_F(ShardFiles, OfDifferentPartsAreRefused) {
  for (const Names& names :
       {Names{"test.h5", "train.h5", "valid.h5"}, Names{"train.h5", "val.h5"},
        Names{"so2sat_training.h5", "so2sat_validation.h5"}, Names{"x-TRAIN.h5", "x-Test.h5"},
        Names{"camelyonpatch_level_2_split_train_x.h5", "camelyonpatch_level_2_split_test_x.h5"},
        Names{"TrainSet1.h5", "TrainSet2.h5", "TestSet1.h5"},
        Names{"extra.h5", "valid.h5", "train.h5"}, Names{"eval2.hdf5", "train2.hdf5"},
        Names{"dev.h5", "train.h5"}, Names{"dev.h5", "tr.h5"},
        Names{"x_train.h5", "x_unlabeled.h5"}, Names{"images_tr.h5", "images_ts.h5"},
        Names{"trn.h5", "tst.h5"}, Names{"cats_train.h5", "dogs_test.h5"},
        Names{"train.H5", "test.h5"}}) {
    make(names);
    expect_refused("holds different parts of a data set");
    clear();
  }
}

TEST_F(ShardFiles, OfOnePartAreTaken) {
  for (const Names& names :
       {Names{"train1.h5", "train2.h5"}, Names{"test_images.h5"}, Names{"latest.h5", "trainer.h5"},
        Names{"test-00000-of-00002.h5", "test-00001-of-00002.h5"},
        Names{"contest.h5", "evaluate_me.h5", "train.h5"}, Names{"dev.h5", "prod.h5"},
        Names{"de.h5", "en.h5", "fr.h5", "te.h5", "tr.h5"}}) {
    make(names);
    EXPECT_EQ(found(), names);
    clear();
  }
}

TEST_F(ShardFiles, BesideASetAreRefused) {
  make({"train-00000-of-00002.h5", "train-00001-of-00002.h5", "more.h5"});
  expect_refused("more.h5: does not belong to the data set of train-00000-of-00002.h5");
  clear();
  make({"a-00000-of-00001.h5", "a-00000-of-00002.h5", "a-00001-of-00002.h5"});
  expect_refused("a-00000-of-00002.h5: belongs to another data set than a-00000-of-00001.h5");
  clear();
  make({"a-00000-of-00001.h5", "a-00001-of-00001.h5"});
  expect_refused("a-00001-of-00001.h5: belongs to another data set");
  clear();
  make({"a-00000-of-00001.h5", "a-00000-of-00001.hdf5"});
  expect_refused("is the same shard");
}

TEST_F(ShardFiles, OfAnIncompleteSetAreRefusedByTheMissingName) {
  make({"a-000-of-003.h5", "a-001-of-003.h5"});
  expect_refused("a-002-of-003.h5 is missing");
  clear();
  make({"a-1-of-999999999.h5"});
  expect_refused("a-0-of-999999999.h5 is missing");
}

TEST_F(ShardFiles, NeedNoLeadingZeros) {
  Names names;
  for (int i = 0; i < 12; ++i) names.push_back("s-" + std::to_string(i) + "-of-12.h5");
  make(names);
  EXPECT_EQ(found().size(), names.size());
}

TEST_F(ShardFiles, ThatCannotBeOpenedAreRefused) {
  make({"a.h5"});
  fs::create_symlink("/nowhere/b.h5", directory_.path() / "b.h5");
  expect_refused("b.h5: is a link to a file that does not exist");
  fs::remove(directory_.path() / "b.h5");
  ASSERT_EQ(::mkfifo((directory_.path() / "c.h5").c_str(), 0600), 0);
  expect_refused("c.h5: is no regular file");
  EXPECT_THROW(find_shards(directory_.path() / "c.h5"), RefusedError);
}

TEST_F(ShardFiles, MayHaveExtensionsInCapitalLetters) {
  make({"a.H5", "b.h5", "c.HDF5"});
  EXPECT_EQ(found(), (Names{"a.H5", "b.h5", "c.HDF5"}));
  clear();
  make({"a-00000-of-00002.H5"});
  expect_refused("a-00001-of-00002.H5 is missing");
}

TEST_F(ShardFiles, FoldersBesideThemAreLeftOutAndNamed) {
  make({"a.h5"});
  fs::create_directory(directory_.path() / "val");
  make({"val/b.h5"});
  testing::internal::CaptureStdout();
  EXPECT_EQ(found(), Names{"a.h5"});
  const std::string log = testing::internal::GetCapturedStdout();
  EXPECT_NE(log.find("its folders are left out of the data set (val)"), std::string::npos) << log;
  fs::remove_all(directory_.path() / "val");
}

TEST(DifferentParts, OfFoldersAgreeInTheirOtherWords) {
  const auto parts = [](const Names& names) {
    const auto found = different_parts(names, OtherWords::alike);
    return found ? found->first + " " + found->second : "";
  };
  EXPECT_EQ(parts({"test_set", "training_set"}), "test_set training_set");
  EXPECT_EQ(parts({"dev", "train"}), "dev train");
  EXPECT_EQ(parts({"trn", "tst"}), "trn tst");
  EXPECT_EQ(parts({"train", "unlabeled"}), "train unlabeled");
  EXPECT_EQ(parts({"seg_pred", "seg_test", "seg_train"}), "seg_test seg_train");
  EXPECT_EQ(parts({"imagesTr", "imagesTs"}), "imagesTr imagesTs");
  EXPECT_EQ(parts({"test", "train_images"}), "test train_images");
  EXPECT_EQ(parts({"test2017", "train2017", "val2017"}), "test2017 train2017");
  EXPECT_EQ(parts({"ant", "bee", "cow", "train", "valid"}), "train valid");
  for (const Names& classes :
       {Names{"bus", "car", "train"}, Names{"dev", "prod"}, Names{"test_tube", "train"},
        Names{"speed test", "steam train"}, Names{"bus", "car", "train", "unlabeled"},
        Names{"de", "en", "fr", "te", "tr"}, Names{"train1", "train2"},
        Names{"trainer", "tester"}}) {
    EXPECT_EQ(parts(classes), "") << classes.front();
  }
}

TEST_F(ShardFiles, InFoldersBelowAreHintedAt) {
  fs::create_directory(directory_.path() / "train");
  fs::create_directory(directory_.path() / "val");
  expect_refused("holds no shards (*.h5), but has folders (train, val)");
  fs::remove(directory_.path() / "train");
  fs::remove(directory_.path() / "val");
}

}  // namespace
}  // namespace simclr
