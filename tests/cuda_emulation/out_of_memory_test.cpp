// A program that does not fit into the device, and the batch that would.

#include <gtest/gtest.h>

#include <cstdlib>
#include <regex>

#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {
namespace {

constexpr int kDeviceMegabytes = 8;
// Read once, when the device is first used.
const int kSet = setenv("SIMCLR_EMULATED_MEMORY_MB", std::to_string(kDeviceMegabytes).c_str(), 1);

constexpr std::int64_t kColumns = 1024;  // 4 KiB a row

/// Two activations of `views` rows that live at once; 1 MiB of parameters and as much of gradients.
Program record(std::int64_t views) {
  Recorder recorder;
  const TensorId input = recorder.named("views", {views, kColumns}, DType::f32, Storage::input);
  const TensorId small = recorder.tensor("small", {views, kColumns}, DType::f32);
  const TensorId large = recorder.tensor("large", {views, kColumns}, DType::f32);
  (void)recorder.parameter("weights", {256, kColumns}, {}, true);
  recorder.emit(AllGather{.local = input, .all = small});
  recorder.emit(AllGather{.local = input, .all = large});
  recorder.emit(AllGather{.local = small, .all = large});
  return recorder.finish();
}

std::string error_of(std::int64_t views) {
  const auto backend = make_cuda_backend({});
  try {
    const Executor executor(record(views), *backend, {});
    return "";
  } catch (const OutOfDeviceMemory& error) {
    EXPECT_GT(error.asked_bytes, error.free_bytes);
    return error.what();
  }
}

TEST(OutOfMemory, NamesWhatDidNotFit) {
  EXPECT_EQ(kSet, 0);
  const std::string arena = error_of(2000);
  EXPECT_NE(arena.find(
                "no room for the arena of the activations: 16.4 MB are asked for, 8.4 MB are free"),
            std::string::npos)
      << arena;
  EXPECT_NE(arena.find("small (2000,1024) f32 with 8.2 MB"), std::string::npos) << arena;
  const std::string input = error_of(700);
  EXPECT_NE(input.find("the tensor views: 2.9 MB are asked for"), std::string::npos) << input;
}

TEST(OutOfMemory, AdvisesABatchThatFits) {
  for (const std::int64_t views : {800, 2000, 100000}) {
    const std::string text = error_of(views);
    std::smatch found;
    ASSERT_TRUE(std::regex_search(text, found, std::regex("a batch of about ([0-9]+) samples")))
        << text;
    const std::int64_t advised = std::stoll(found[1]);
    // 6 MiB are left for three tensors of 4 KiB a view, less what is kept in reserve.
    EXPECT_LE(advised, 512) << text;
    EXPECT_GE(advised, 480) << text;
    EXPECT_EQ(advised % 8, 0) << text;
    EXPECT_EQ(error_of(advised), "");
  }
}

TEST(OutOfMemory, SaysWhenNoBatchFits) {
  Recorder recorder;
  const TensorId input = recorder.named("views", {4, kColumns}, DType::f32, Storage::input);
  const TensorId copy = recorder.tensor("copy", {4, kColumns}, DType::f32);
  (void)recorder.parameter("weights", {4096, kColumns}, {}, true);
  recorder.emit(AllGather{.local = input, .all = copy});
  const auto backend = make_cuda_backend({});
  try {
    const Executor executor(recorder.finish(), *backend, {});
    ADD_FAILURE() << "16 MB of parameters fit into 8";
  } catch (const OutOfDeviceMemory& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("the parameters: 16.8 MB are asked for"), std::string::npos) << text;
    EXPECT_NE(text.find("no batch fits"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace simclr
