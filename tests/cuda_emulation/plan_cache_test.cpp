// Choices of convolution algorithms as text, and the file that keeps them. No device is needed.

#include "plan_cache.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "convolution_plan.hpp"

namespace simclr::cuda {
namespace {

TEST(EngineChoice, ReadsWhatItWrites) {
  const std::vector<EngineChoice> choices{
      {.engine = 0, .knobs = {}},
      {.engine = 38, .knobs = {{2, 1}}},
      {.engine = 4021, .knobs = {{13, 4}, {2, 0}, {40, -1}, {24, std::int64_t{1} << 40}}}};
  for (const EngineChoice& choice : choices) {
    EXPECT_EQ(EngineChoice::parse(choice.text()), choice) << choice.text();
  }
  EXPECT_EQ(choices[0].text(), "engine 0");
  EXPECT_EQ(choices[2].text(),
            "engine 4021: knob 2=0, knob 13=4, knob 24=1099511627776, knob 40=-1");
}

TEST(EngineChoice, RefusesEverythingElse) {
  for (const char* text :
       {"", "engine", "engine ", "engine x", "engine 07", "engine 7 ",
        "engine 7:", "engine 7: ", "engine 7: knob 2", "engine 7: knob 2=", "engine 7: knob 2=1,",
        "engine 7: knob 2=1, ", "engine 7: knob 2=1, knob 2=3", "engine 7: knob 3=1, knob 2=1",
        "engine 7: knob 2=1.5", "engine 99999999999999999999", "loops", "{\"engine\": 7}"}) {
    EXPECT_EQ(EngineChoice::parse(text), std::nullopt) << '"' << text << '"';
  }
}

TEST(ConvolutionShape, SaysAllThatMatters) {
  const ConvolutionShape forward{.kind = ConvolutionKind::forward,
                                 .dtype = DType::bf16,
                                 .images = 512,
                                 .height = 56,
                                 .width = 57,
                                 .in_channels = 64,
                                 .out_height = 28,
                                 .out_width = 29,
                                 .out_channels = 256,
                                 .kernel = 3,
                                 .stride = 2,
                                 .padding = 1};
  EXPECT_EQ(forward.text(), "forward bf16 512x56x57x64 -> 28x29x256, 3x3 stride 2 padding 1");
  std::set<std::string> texts;
  for (const ConvolutionKind kind : {ConvolutionKind::forward, ConvolutionKind::backward_data,
                                     ConvolutionKind::backward_weights}) {
    for (const bool tf32 : {false, true}) {
      ConvolutionShape shape = forward;
      shape.kind = kind;
      shape.dtype = DType::f32;
      shape.allow_tf32 = tf32;
      texts.insert(shape.text());
    }
  }
  ConvolutionShape gradient = forward;
  gradient.kind = ConvolutionKind::backward_weights;
  texts.insert(gradient.text());
  gradient.gradient_dtype = DType::bf16;
  texts.insert(gradient.text());
  EXPECT_EQ(texts.size(), 8U);
}

/// A folder of its own for each test.
class PlanCacheFile : public ::testing::Test {
 protected:
  PlanCacheFile()
      : folder_(std::filesystem::temp_directory_path() /
                ("plan_cache_test." + std::to_string(::getpid()) + "." +
                 ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::remove_all(folder_);
  }
  ~PlanCacheFile() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::filesystem::path file() const { return folder_ / "cuda" / "plans.json"; }
  void write(const std::string& text) const {
    std::filesystem::create_directories(file().parent_path());
    std::ofstream(file()) << text;
  }
  [[nodiscard]] std::string text() const {
    std::ostringstream text;
    text << std::ifstream(file()).rdbuf();
    return text.str();
  }

 private:
  std::filesystem::path folder_;
};

TEST_F(PlanCacheFile, KeepsChoicesOfEachMachineApart) {
  PlanCache first(file(), "one GPU");
  EXPECT_EQ(first.find("a shape"), std::nullopt);
  first.store("a shape", "engine 1");
  first.store("a shape", "engine 2");
  first.store("another \"shape\"", "engine 3: knob 1=2");
  PlanCache other(file(), "another GPU");
  EXPECT_EQ(other.find("a shape"), std::nullopt);
  other.store("a shape", "engine 4");

  const PlanCache again(file(), "one GPU");
  EXPECT_EQ(again.find("a shape"), "engine 2");
  EXPECT_EQ(again.find("another \"shape\""), "engine 3: knob 1=2");
  EXPECT_EQ(PlanCache(file(), "another GPU").find("a shape"), "engine 4");
}

TEST_F(PlanCacheFile, AddsToWhatOthersWroteMeanwhile) {
  PlanCache one(file(), "a GPU");
  PlanCache two(file(), "a GPU");
  one.store("first", "engine 1");
  two.store("second", "engine 2");
  const PlanCache both(file(), "a GPU");
  EXPECT_EQ(both.find("first"), "engine 1");
  EXPECT_EQ(both.find("second"), "engine 2");
}

TEST_F(PlanCacheFile, NeedsNoFile) {
  PlanCache cache("", "a GPU");
  cache.store("a shape", "engine 1");
  EXPECT_EQ(cache.find("a shape"), "engine 1");
}

TEST_F(PlanCacheFile, IgnoresAndReplacesWhatIsCorrupt) {
  for (const char* text :
       {"", "{", "[]", "null", "12", R"({"version": 1})", R"({"version": 1, "machines": []})",
        R"({"version": 2, "machines": {"a GPU": {"a shape": "engine 9"}}})",
        R"({"version": 1, "machines": {"a GPU": {"a shape": 9}}})",
        R"({"version": 1, "machines": {"a GPU": ["engine 9"]}})",
        R"({"version": 1, "machines": {"a GPU": {"a shape": "engine 9"}})"}) {
    write(text);
    PlanCache cache(file(), "a GPU");
    EXPECT_EQ(cache.find("a shape"), std::nullopt) << text;
    cache.store("a shape", "engine 1");
    EXPECT_EQ(PlanCache(file(), "a GPU").find("a shape"), "engine 1") << text;
  }
}

TEST_F(PlanCacheFile, LivesWithoutWritingWhereItCannot) {
  write("in the way");
  PlanCache cache(file() / "plans.json", "a GPU");
  cache.store("a shape", "engine 1");
  cache.store("another", "engine 2");
  EXPECT_EQ(cache.find("a shape"), "engine 1");
  EXPECT_EQ(text(), "in the way");
}

TEST_F(PlanCacheFile, IsWholeAtEveryMomentOfConcurrentWriting) {
  constexpr int kWriters = 4;
  constexpr int kStores = 50;
  PlanCache(file(), "a GPU").store("before", "engine 0");
  std::vector<std::jthread> writers;
  writers.reserve(kWriters);
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      PlanCache cache(file(), "GPU " + std::to_string(writer));
      for (int i = 0; i < kStores; ++i) {
        cache.store("shape " + std::to_string(i), "engine " + std::to_string(writer));
      }
    });
  }
  for (int i = 0; i < kStores; ++i) {
    ASSERT_FALSE(nlohmann::json::parse(text(), nullptr, false).is_discarded());
  }
  writers.clear();
  // Entries may have been lost, never changed; the last write of all is there, and nothing else.
  std::size_t last = 0;
  for (int writer = 0; writer < kWriters; ++writer) {
    const PlanCache cache(file(), "GPU " + std::to_string(writer));
    for (int i = 0; i < kStores; ++i) {
      const auto choice = cache.find("shape " + std::to_string(i));
      if (!choice) continue;
      EXPECT_EQ(*choice, "engine " + std::to_string(writer));
      if (i == kStores - 1) ++last;
    }
  }
  EXPECT_GE(last, 1U);
  const std::filesystem::directory_iterator files(file().parent_path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

}  // namespace
}  // namespace simclr::cuda
