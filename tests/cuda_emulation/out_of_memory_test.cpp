// What does not fit into the device or into page-locked memory, and what would.

#include <gtest/gtest.h>

#include <cstdlib>
#include <regex>

#include "device_memory.hpp"
#include "simclr/backend/executor.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/program/recorder.hpp"
#include "streams.hpp"

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

std::string error_of(std::int64_t views, const ExecutorOptions& options = {}) {
  const auto backend = make_cuda_backend({});
  try {
    const Executor executor(record(views), *backend, {}, options);
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

TEST(OutOfMemory, KnowsThatStagedInputsAreThereTwice) {
  const ExecutorOptions staged{.stage_inputs = true};
  EXPECT_EQ(error_of(500), "");
  const std::string next = error_of(500, staged);
  EXPECT_NE(next.find("no room for the next batch's views: 2.0 MB are asked for"),
            std::string::npos)
      << next;
  std::smatch found;
  ASSERT_TRUE(std::regex_search(next, found, std::regex("a batch of about ([0-9]+) samples")))
      << next;
  const std::int64_t advised = std::stoll(found[1]);
  EXPECT_LE(advised, 384) << next;  // four tensors of 4 KiB a view into 6 MiB
  EXPECT_GE(advised, 352) << next;
  EXPECT_EQ(error_of(advised, staged), "");
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

/// What an error says, and that it says what to do.
template <class Work>
std::string shortage_of(Work&& work, const std::string& advice = "a smaller batch or more ranks") {
  try {
    work();
  } catch (const Error& error) {
    std::string text = error.what();
    EXPECT_EQ(text.rfind("out of ", 0), 0U) << text;
    EXPECT_NE(text.find(advice), std::string::npos) << text;
    return text;
  }
  return "";
}
void expect_start(const std::string& text, const std::string& start) {
  EXPECT_EQ(text.substr(0, start.size()), start);
}

TEST(OutOfMemory, NamesWhatOfTheInputDoesNotFit) {
  const auto backend = make_cuda_backend({});
  const TensorInfo views{
      .name = "views", .shape = {1000, 30, 30, 3}, .dtype = DType::f32, .storage = Storage::input};
  expect_start(
      shortage_of([&] { backend->make_input_stage({{.id = TensorId{0}, .info = views}}); }),
      "out of device memory: no room for the next batch's views: 10.8 MB are asked for, 8.4 of 8.4 "
      "MB of device memory are free");
}

TEST(OutOfMemory, NamesWhatPageLockedMemoryIsFor) {
  const auto backend = make_cuda_backend({});
  const std::string advice = "--cache distributed or none";
  emulation::refuse_pinned_memory(true);
  expect_start(shortage_of([&] { backend->allocate_host(3000000); }, advice),
               "out of page-locked host memory: no room for what the device copies: 3.0 MB are "
               "asked for");
  emulation::refuse_pinned_memory(false);
  EXPECT_EQ(shortage_of([&] { backend->allocate_host(3000000); }), "");
}

TEST(OutOfMemory, NamesTheGraphThatHasNoRoom) {
  const auto backend = make_cuda_backend({});
  Executor executor(record(8), *backend, {});
  executor.run_all();
  emulation::refuse_graphs(true);
  expect_start(shortage_of([&] { executor.run_all(); }),
               "out of device memory: cannot make the graph of steps 0 to 2 (");
  emulation::refuse_graphs(false);
  executor.run_all();
}

TEST(OutOfMemory, NamesWhatAnOpAllocatesForItself) {
  Recorder recorder;
  const TensorId x = recorder.named("views", {1, 1, 1, 1024}, DType::bf16, Storage::input);
  const TensorId y = recorder.named("y", {1, 1, 1, 512}, DType::bf16, Storage::output);
  const TensorId w = recorder.parameter("w", {512, 1, 1, 1024}, {}, true);
  recorder.emit(ConvForward{.x = x, .w = w, .y = y, .geometry = {.kernel = 1, .stride = 1}});
  const Program program = recorder.finish();
  const auto backend = make_cuda_backend({});
  const Buffer full = backend->allocate(emulation::free_device_bytes() - 4500000);
  const std::string text =
      shortage_of([&] { const Executor executor(program, *backend, {}); }, "no batch fits");
  EXPECT_NE(text.find("(a 16-bit copy of the weights): 1.0 MB are asked for"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace simclr
