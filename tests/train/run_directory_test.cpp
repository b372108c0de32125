// Tests from which stored configurations a run resumes.

#include "train/run_directory.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "simclr/core/check.hpp"
#include "simclr/train/pretrain_config.hpp"
#include "simclr/train/training_job.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

class RunDirectoryTest : public testing::Test {
 protected:
  RunDirectoryTest() {
    config_.run_dir = directory_.path() / "run";
    config_.batch_size = 16;
    config_.note_given(declared_options(config_));
  }

  /// Returns a stored configuration with this value of --cache.
  [[nodiscard]] std::string text_with_cache(const std::string& value) {
    std::string text = configuration_text(config_, RunDirectoryOption::written);
    const std::string line = "cache = auto\n";
    const std::size_t at = text.find(line);
    EXPECT_NE(at, std::string::npos) << text;
    return text.replace(at, line.size(), "cache = " + value + "\n");
  }
  void store(const std::string& text) {
    std::filesystem::create_directories(config_.run_dir);
    std::ofstream(config_.run_dir / "config.cfg") << text;
  }

  TemporaryDirectory directory_;
  PretrainConfig config_;
};

TEST_F(RunDirectoryTest, ResumesARunWithAnOptionsFormerValue) {
  store(text_with_cache("device"));
  EXPECT_NO_THROW(validate_run_directory(config_));
  EXPECT_EQ(RunDirectory(config_).start().restarts, 1);
}

TEST_F(RunDirectoryTest, ResumesACheckpointWithAnOptionsFormerValue) {
  Checkpoint checkpoint;
  checkpoint.step = 3;
  checkpoint.configuration = text_with_cache("device");
  checkpoint.model = "{}";
  const std::filesystem::path file = directory_.path() / "step-0000000003.h5";
  write_checkpoint(file, checkpoint);
  config_.resume = file.string();
  const RunDirectory run(config_);
  ASSERT_TRUE(run.start().checkpoint);
  EXPECT_EQ(run.start().step(), 3);
}

TEST_F(RunDirectoryTest, ForgetsTheTensorsOfTheCheckpoint) {
  Checkpoint checkpoint;
  checkpoint.step = 3;
  checkpoint.configuration = configuration_text(config_, RunDirectoryOption::omitted);
  checkpoint.model = "{}";
  for (auto* tensors : {&checkpoint.parameters, &checkpoint.running, &checkpoint.momentum,
                        &checkpoint.second_moment}) {
    tensors->push_back({"one", {2}, {1.F, 2.F}});
  }
  const std::filesystem::path file = directory_.path() / "step-0000000003.h5";
  write_checkpoint(file, checkpoint);
  config_.resume = file.string();
  RunDirectory run(config_);
  const Checkpoint& held = run.start().checkpoint->checkpoint;
  ASSERT_EQ(held.second_moment.size(), 1U);
  run.forget_tensors();
  for (const auto* tensors :
       {&held.parameters, &held.running, &held.momentum, &held.second_moment}) {
    EXPECT_TRUE(tensors->empty());
  }
  EXPECT_EQ(run.start().step(), 3);
}

TEST_F(RunDirectoryTest, ComparesTheDataThatTheCheckpointDescribes) {
  Checkpoint checkpoint;
  checkpoint.configuration = configuration_text(config_, RunDirectoryOption::omitted);
  checkpoint.model = "{}";
  const std::filesystem::path file = directory_.path() / "step-0000000003.h5";
  config_.resume = file.string();
  config_.fingerprint = {.samples = 40, .pixels = "aa"};
  // One of an earlier version describes none.
  write_checkpoint(file, checkpoint);
  EXPECT_TRUE(RunDirectory(config_).start().checkpoint);

  checkpoint.data = to_text(config_.fingerprint);
  write_checkpoint(file, checkpoint);
  EXPECT_TRUE(RunDirectory(config_).start().checkpoint);
  config_.fingerprint.samples = 80;
  EXPECT_THROW(RunDirectory{config_}, RefusedError);
}

TEST_F(RunDirectoryTest, RefusesStoredValuesThatNeverExisted) {
  store(text_with_cache("moon"));
  EXPECT_THROW(validate_run_directory(config_), RefusedError);
}

TEST_F(RunDirectoryTest, AFormerValueIsRefusedOnTheCommandLine) {
  Options options("pretrain", "", {"pretrain"});
  config_.declare(options);
  try {
    (void)options.parse({"--cache", "device"});
    FAIL() << "accepted";
  } catch (const RefusedError& error) {
    EXPECT_NE(std::string(error.what()).find("auto|node|distributed|none"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace simclr
