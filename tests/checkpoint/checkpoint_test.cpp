#include "simclr/io/checkpoint.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <limits>
#include <numeric>

#include "simclr/core/check.hpp"
#include "support/temporary_directory.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

class CheckpointTest : public testing::Test {
 protected:
  fs::path write(std::int64_t step) const {
    fs::path file = checkpoint_path(directory, step);
    write_checkpoint(file, example(step));
    return file;
  }

  static Checkpoint example(std::int64_t step) {
    Checkpoint c;
    c.step = step;
    c.epoch = step / 7;
    c.seed = 0xFFFFFFFFFFFFFFF1ULL;
    c.configuration = "[pretrain]\nbatch-size = 64\n";
    c.model = R"({"encoder":"resnet18"})";
    c.parameters = {filled("layer2.weight", {4, 3, 3, 16}, 0.5F), filled("conv1.weight", {5}, 1.F)};
    c.momentum = {filled("layer2.weight", {4, 3, 3, 16}, -3.F), filled("conv1.weight", {5}, 0.F)};
    c.running = {filled("bn1.running_mean", {70000}, 2.F)};
    return c;
  }

  static NamedTensor filled(const std::string& name, Shape shape, float start) {
    NamedTensor t{name, shape, std::vector<float>(static_cast<std::size_t>(shape.elements()))};
    std::iota(t.values.begin(), t.values.end(), start);
    return t;
  }

  static void flip_byte(const fs::path& file, std::int64_t offset) {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(offset);
    const int byte = f.get();
    f.seekp(offset);
    f.put(static_cast<char>(byte ^ 0x10));
  }

  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
  }

  TemporaryDirectory temporary;
  fs::path directory = temporary.path();
};

void expect_equal(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_EQ(a[i].shape, b[i].shape);
    EXPECT_EQ(a[i].values, b[i].values);
  }
}

TEST_F(CheckpointTest, ReadsBackWhatWasWrittenInOrder) {
  const Checkpoint written = example(100);
  const fs::path file = checkpoint_path(directory, 100);
  EXPECT_EQ(file.filename(), "step-0000000100.h5");
  const std::string checksum = write_checkpoint(file, written);
  const Checkpoint read = read_checkpoint(file);
  EXPECT_EQ(read.step, 100);
  EXPECT_EQ(read.epoch, written.epoch);
  EXPECT_EQ(read.seed, written.seed);
  EXPECT_EQ(read.configuration, written.configuration);
  EXPECT_EQ(read.model, written.model);
  EXPECT_EQ(read.checksum, checksum);
  expect_equal(read.parameters, written.parameters);
  expect_equal(read.running, written.running);
  expect_equal(read.momentum, written.momentum);
  EXPECT_TRUE(read.second_moment.empty());
  EXPECT_FALSE(read.loss_scaling);
  EXPECT_EQ(files(), 1U);
}

TEST_F(CheckpointTest, KeepsTheDescriptionOfTheData) {
  Checkpoint written = example(5);
  const std::string without = write_checkpoint(checkpoint_path(directory, 4), written);
  EXPECT_EQ(read_checkpoint(checkpoint_path(directory, 4)).data, "");
  written.data = "samples 5\nimages raw 32x32\n";
  const fs::path file = checkpoint_path(directory, 5);
  EXPECT_NE(write_checkpoint(file, written), without);
  EXPECT_EQ(read_checkpoint(file).data, written.data);
}

TEST_F(CheckpointTest, KeepsTheLossScalingState) {
  Checkpoint written = example(5);
  const std::string without = write_checkpoint(checkpoint_path(directory, 4), written);
  written.loss_scaling = {.scale = 32768, .good_steps = 1999, .skipped_steps = 3};
  const fs::path file = checkpoint_path(directory, 5);
  const std::string with = write_checkpoint(file, written);
  EXPECT_NE(with, without);
  EXPECT_EQ(read_checkpoint(file).loss_scaling, written.loss_scaling);
}

TEST_F(CheckpointTest, EqualContentsGiveEqualBytes) {
  const auto bytes = [](const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string first = bytes(write(3));
  fs::remove(checkpoint_path(directory, 3));
  EXPECT_EQ(first, bytes(write(3)));
}

TEST_F(CheckpointTest, RefusesAFileDamagedAtAnyByte) {
  const auto size = static_cast<std::int64_t>(fs::file_size(write(1)));
  int refused = 0;
  int tried = 0;
  for (std::int64_t offset = 0; offset < size; offset += size / 23 + 1) {
    const fs::path file = write(1);
    flip_byte(file, offset);
    ++tried;
    try {
      // A change to bytes that HDF5 leaves unused is accepted if everything reads back as before.
      const Checkpoint read = read_checkpoint(file);
      expect_equal(read.parameters, example(1).parameters);
      expect_equal(read.running, example(1).running);
      EXPECT_EQ(read.configuration, example(1).configuration);
    } catch (const RefusedError& error) {
      EXPECT_NE(std::string(error.what()).find(file.string()), std::string::npos) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, tried / 2);
}

TEST_F(CheckpointTest, RefusesNumbersThatCannotBe) {
  const auto refusal = [&](const Checkpoint& c) {
    const fs::path file = checkpoint_path(directory, 1);
    write_checkpoint(file, c);
    try {
      (void)read_checkpoint(file);
    } catch (const RefusedError& error) {
      EXPECT_NE(std::string(error.what()).find(file.string()), std::string::npos) << error.what();
      return std::string(error.what());
    }
    return std::string("(not refused)");
  };
  Checkpoint c = example(1);
  c.step = -7;
  EXPECT_NE(refusal(c).find("its step is -7"), std::string::npos);
  c = example(1);
  c.epoch = std::numeric_limits<std::int64_t>::max();
  EXPECT_NE(refusal(c).find("its epoch is"), std::string::npos);
  for (const LossScaling& scaling :
       {LossScaling{0, 0, 0}, LossScaling{3, 0, 0}, LossScaling{-2, 0, 0}, LossScaling{1, -1, 0}}) {
    c = example(1);
    c.loss_scaling = scaling;
    EXPECT_NE(refusal(c).find("loss_scaling"), std::string::npos);
  }
}

TEST_F(CheckpointTest, RefusesATruncatedFile) {
  const fs::path file = write(1);
  fs::resize_file(file, fs::file_size(file) / 2);
  EXPECT_THROW(read_checkpoint(file), RefusedError);
  fs::resize_file(file, 0);
  EXPECT_THROW(read_checkpoint(file), RefusedError);
  EXPECT_THROW(read_checkpoint(directory / "none.h5"), RefusedError);
}

TEST_F(CheckpointTest, FallsBackToTheNewestValidCheckpoint) {
  EXPECT_FALSE(newest_valid_checkpoint(directory).has_value());
  write(5);
  write(10);
  const fs::path newest = write(20);
  EXPECT_EQ(newest_valid_checkpoint(directory)->file.step, 20);
  fs::resize_file(newest, 1000);
  EXPECT_EQ(newest_valid_checkpoint(directory)->file.step, 10);
  fs::resize_file(checkpoint_path(directory, 5), 10);
  fs::resize_file(checkpoint_path(directory, 10), 10);
  testing::internal::CaptureStderr();
  EXPECT_THROW(newest_valid_checkpoint(directory), RefusedError);
  const std::string log = testing::internal::GetCapturedStderr();
  const std::string falls_back = "; falling back to the checkpoint before it\n";
  const auto last_line = log.rfind("simclr: warning: ");
  ASSERT_NE(last_line, std::string::npos) << log;
  EXPECT_NE(log.rfind(falls_back, last_line), std::string::npos) << log;
  EXPECT_EQ(log.find(falls_back, last_line), std::string::npos) << "before the first there is none";
}

TEST_F(CheckpointTest, PruningKeepsTheNewestAndPinnedCheckpoints) {
  for (const std::int64_t step : {0, 5, 10, 20, 30}) write(step);
  prune_checkpoints(directory, 2, [](std::int64_t step) { return step == 0; });
  std::vector<std::int64_t> left;
  for (const CheckpointFile& f : list_checkpoints(directory)) left.push_back(f.step);
  EXPECT_EQ(left, (std::vector<std::int64_t>{0, 20, 30}));
}

TEST_F(CheckpointTest, PruningKeepsAndCountsSparedSteps) {
  for (const std::int64_t step : {0, 5, 10, 20, 30}) write(step);
  prune_checkpoints(directory, 2, [](std::int64_t) { return false; }, {5, 30});
  std::vector<std::int64_t> left;
  for (const CheckpointFile& f : list_checkpoints(directory)) left.push_back(f.step);
  EXPECT_EQ(left, (std::vector<std::int64_t>{5, 20, 30}));
}

TEST_F(CheckpointTest, OpensAFileOrTheNewestCheckpointOfARun) {
  fs::create_directories(directory / "checkpoints");
  write_checkpoint(checkpoint_path(directory / "checkpoints", 4), example(4));
  write_checkpoint(checkpoint_path(directory / "checkpoints", 8), example(8));
  EXPECT_EQ(open_checkpoint(directory).checkpoint.step, 8);
  EXPECT_EQ(open_checkpoint(checkpoint_path(directory / "checkpoints", 4)).checkpoint.step, 4);
  EXPECT_THROW(open_checkpoint(directory / "nothing"), RefusedError);
  fs::create_directories(directory / "empty");
  EXPECT_THROW(open_checkpoint(directory / "empty"), RefusedError);
}

TEST_F(CheckpointTest, AFullDiskLeavesOlderCheckpointsIntactAndNoTemporaryFile) {
  const fs::path older = write(1);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{65536, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(write_checkpoint(checkpoint_path(directory, 2), example(2)), Error);
  // A failed rewrite of step 1 leaves the existing file as it is.
  EXPECT_THROW(write_checkpoint(older, example(1)), Error);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(read_checkpoint(older).step, 1);
}

// The file is written in many pieces; any of them may be the one for which there is no room.
TEST_F(CheckpointTest, ADiskThatIsFullAtAnyByteLeavesNothing) {
  const auto size = fs::file_size(write(1));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  constexpr std::uintmax_t kPlaces = 40;
  for (std::uintmax_t place = 0; place < kPlaces; ++place) {
    const rlimit limit{place * size / kPlaces, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    try {
      write_checkpoint(checkpoint_path(directory, 2), example(2));
      ADD_FAILURE() << "written with room for " << limit.rlim_cur << " of " << size << " bytes";
    } catch (const IoError& error) {
      EXPECT_NE(std::string(error.what()).find("step-0000000002.h5"), std::string::npos);
      EXPECT_EQ(error.error_number(), EFBIG) << error.what();
    }
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(read_checkpoint(write(2)).step, 2);  // HDF5 is as before
}

/// The line of /proc/self/status in bytes.
double status_bytes(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key)) return std::stod(line.substr(key.size())) * 1024;
  }
  ADD_FAILURE() << "no " << key;
  return 0;
}

TEST_F(CheckpointTest, WritingTakesLittleMemory) {
  constexpr std::int64_t kTensors = 40;
  constexpr std::int64_t kElements = 640'000;  // 100 MB in all
  Checkpoint c = example(1);
  for (auto* section : {&c.parameters, &c.running, &c.momentum}) section->clear();
  for (std::int64_t i = 0; i < kTensors; ++i) {
    (i % 2 == 0 ? c.parameters : c.momentum)
        .push_back({"tensor" + std::to_string(i / 2), {kElements}, {}});
  }
  std::vector<float> values(kElements);
  std::vector<std::size_t> asked;
  const TensorValues read = [&](std::size_t number) {
    asked.push_back(number);
    std::ranges::fill(values, static_cast<float>(number));
    return std::span<const float>(values);
  };
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
  const double before = status_bytes("VmRSS:");
  write_checkpoint(checkpoint_path(directory, 1), c, {}, read);
  const double more = status_bytes("VmHWM:") - before;
  EXPECT_LT(more, 0.3 * kTensors * kElements * sizeof(float));
  EXPECT_EQ(asked.size(), static_cast<std::size_t>(kTensors));
  EXPECT_TRUE(std::ranges::is_sorted(asked));
  const Checkpoint read_back = read_checkpoint(checkpoint_path(directory, 1));
  ASSERT_EQ(read_back.momentum.size(), static_cast<std::size_t>(kTensors / 2));
  EXPECT_EQ(read_back.parameters[3].values, std::vector<float>(kElements, 3.F));
  constexpr int kFirstMomentum = kTensors / 2;
  EXPECT_EQ(read_back.momentum[0].values,
            std::vector<float>(kElements, static_cast<float>(kFirstMomentum)));
}

TEST_F(CheckpointTest, RemovesTheTemporaryFilesOfInterruptedWrites) {
  write(1);
  std::ofstream(directory / "step-0000000002.h5.tmp-4711") << "half";
  remove_unfinished_checkpoints(directory);
  EXPECT_EQ(files(), 1U);
}

}  // namespace
}  // namespace simclr
