#include "train/environment.hpp"

#include <gtest/gtest.h>

namespace simclr {
namespace {

namespace fs = std::filesystem;

Environment environment(const std::string& device, std::map<std::string, std::string> choices) {
  Environment e{.build = {"0.1.0", "abc", "GCC 12"},
                .device = device,
                .model = device + " model",
                .libraries = device + " library 1.0"};
  e.plans = {.model = e.model, .libraries = e.libraries, .choices = std::move(choices)};
  return e;
}

TEST(Environment, IsReadBackFromTheRunOfACheckpoint) {
  const fs::path run = fs::path(testing::TempDir()) / "simclr-environment-test";
  fs::create_directories(run / "checkpoints");
  const auto backend = make_cpu_backend(1);
  const auto world = make_self_communicator();
  const Environment gpu = environment("cuda", {{"forward 1x1", "engine 7"}});

  // A start on a device without plans keeps the GPU's plans.
  const Environment written = describe_environment({"0.2.0", "def", "GCC 13"}, *backend, 3,
                                                   "node cache, 1 GB", *world, gpu);
  EXPECT_FALSE(plans_fit(written.plans, *backend));
  write_environment(run, written, *backend, *world);
  const auto read = environment_of(run / "checkpoints" / "step-0000000001.h5");
  fs::remove_all(run);
  ASSERT_TRUE(read);
  EXPECT_EQ(what_changed(written, *read).text, "");
  EXPECT_EQ(read->build.version, "0.2.0");
  EXPECT_EQ(read->threads, 3);
  EXPECT_EQ(read->nodes, 1);
  EXPECT_EQ(read->cache, "node cache");
  EXPECT_EQ(read->device, "cpu");
  EXPECT_EQ(read->plans.model, "cuda model");
  EXPECT_EQ(read->plans.libraries, "cuda library 1.0");
  EXPECT_EQ(read->plans.choices, gpu.plans.choices);
}

TEST(Environment, IsEmptyIfThereIsNoFile) {
  EXPECT_FALSE(environment_of(fs::path(testing::TempDir()) / "no-run" / "checkpoints" / "s.h5"));
}

TEST(Environment, SaysWhatChanged) {
  const Environment cpu = environment("cpu", {});
  Environment gpu = environment("cuda", {{"a", "1"}, {"b", "1"}});
  EXPECT_EQ(what_changed(cpu, cpu).text, "");
  EXPECT_EQ(what_changed(cpu, gpu).text,
            "device cpu -> cuda, model cpu model -> cuda model, "
            "libraries cpu library 1.0 -> cuda library 1.0");
  Environment other = gpu;
  other.ranks = 4;
  other.threads = 2;
  other.build.git_commit = "def";
  other.plans.choices = {{"a", "2"}, {"c", "1"}};
  EXPECT_EQ(
      what_changed(gpu, other).text,
      "program 0.1.0 abc -> 0.1.0 def, ranks 1 -> 4, threads 1 -> 2, 1 convolution plans changed");
  EXPECT_FALSE(what_changed(gpu, other).same_bits);
}

TEST(Environment, KnowsChangesThatKeepTheBits) {
  Environment here = environment("cpu", {});
  here.cache = "node cache";
  Environment there = here;
  there.nodes = 4;
  there.cache = "no cache";
  const Changes changes = what_changed(here, there);
  EXPECT_EQ(changes.text, "nodes 1 -> 4, data node cache -> no cache");
  EXPECT_TRUE(changes.same_bits);
}

}  // namespace
}  // namespace simclr
