// Complete plans: counts, scaling, refusals.

#include "simclr/plan/plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "plan_cases.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

/// The paper's ImageNet run on 64 GPUs.
PlanRequest paper_run() {
  PlanRequest request;
  request.ranks = 64;
  request.machine = "h100";
  request.samples = 1281167;
  return request;
}

std::string refusal(const PlanRequest& request) {
  try {
    make_plan(request);
  } catch (const RefusedError& error) {
    return error.what();
  }
  return "accepted";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(Plan, CountsTheRun) {
  const RunPlan plan = make_plan(paper_run());
  EXPECT_EQ(plan.steps_per_epoch, 1281167 / 4096);
  EXPECT_EQ(plan.steps, 100 * (1281167 / 4096));
  EXPECT_DOUBLE_EQ(plan.schedule.peak, 0.3 * 4096 / 256);
  EXPECT_EQ(plan.encoder_parameters, 23508032);  // torchvision's resnet50 without its classifier
  EXPECT_EQ(plan.nodes(), 8);
  EXPECT_EQ(plan.config->device.precision, Precision::bf16);
  EXPECT_EQ(plan.kept_checkpoints, 3);
  EXPECT_NEAR(plan.memory.saved_per_view, 40.8e6, 0.2e6);
  EXPECT_NEAR(plan.node_hours(), plan.step.total * 31200 * 8 / 3600, 1e-6);
  EXPECT_GT(plan.cost.flops, 128 * 24e9);
}

TEST(Plan, TextAndJsonAgree) {
  const RunPlan plan = make_plan(paper_run());
  const auto json = nlohmann::json::parse(to_json(plan));
  EXPECT_EQ(json.at("schedule").at("steps"), plan.steps);
  EXPECT_EQ(json.at("memory").at("device_bytes"), plan.memory.on_device());
  EXPECT_EQ(json.at("step").at("traffic").at("batch-norm statistics").at("collectives"), 110);
  EXPECT_EQ(json.at("strong_scaling").size(), 11U);
  const std::string text = to_text(plan);
  expect_contains(text, "31200 in total");
  expect_contains(text, "not measured on a GPU");
  expect_contains(text, "110 collectives");
  expect_contains(text, "(a model)");
}

void expect_scaling(const std::vector<ScalingRow>& rows) {
  double rate = 0;
  double efficiency = 1 + 1e-9;
  for (const ScalingRow& row : rows) {
    if (!row.problem.empty()) continue;
    EXPECT_GT(row.images_per_second, rate) << row.devices;
    EXPECT_LE(row.efficiency, efficiency) << row.devices;
    rate = row.images_per_second;
    efficiency = row.efficiency;
  }
  EXPECT_GT(rate, 0);
}

TEST(Plan, MoreDevicesAreFasterAndLessEfficient) {
  const RunPlan plan = make_plan(paper_run());
  expect_scaling(plan.strong);
  expect_scaling(plan.weak);
  const ScalingRow& same = plan.strong[6];  // 64 devices
  EXPECT_EQ(same.devices, 64);
  EXPECT_DOUBLE_EQ(same.step_seconds, plan.step.total);
  EXPECT_DOUBLE_EQ(plan.weak[6].step_seconds, plan.step.total);
  expect_contains(plan.strong[0].problem, "memory");
}

TEST(Plan, NoRowIsMoreThanFullyEfficient) {
  Machine machine = test::round_machine();
  machine.devices_per_node = 1;
  machine.between = {.start_us = 0, .hop_us = 0, .gbytes_per_second = 1e6};
  machine.device_memory_gb = 1e6;
  // Small tensors stay in a cache.
  machine.efficiencies = {{.shape = {.rows = 1e4}, .share = 0.9},
                          {.shape = {.rows = 1e7}, .share = 0.5}};
  const auto file = std::filesystem::path(testing::TempDir()) / "plan-cached.json";
  write_machine(file, machine);
  PlanRequest request = paper_run();
  request.machine = file.string();
  const RunPlan plan = make_plan(request);
  std::filesystem::remove(file);
  double best = 0;
  for (const ScalingRow& row : plan.strong) {
    EXPECT_LE(row.efficiency, 1) << row.devices;
    best = std::max(best, row.efficiency);
  }
  EXPECT_EQ(best, 1);
  EXPECT_LT(plan.strong[0].efficiency, 0.9);
}

TEST(Plan, MarksImpossibleRowsOfTheScalingTables) {
  PlanRequest request = paper_run();
  request.ranks = 8;
  request.config->batch_size = 96;
  request.config->bn_group = "24";
  request.samples = 1000;
  const RunPlan plan = make_plan(request);
  EXPECT_EQ(plan.strong[3].problem, "");
  expect_contains(plan.strong[6].problem, "not divisible");  // 96 on 64
  expect_contains(plan.weak[10].problem, "larger than the data");
}

TEST(Plan, GivesRangesForAMachineThatWasNeverMeasured) {
  PlanRequest request = paper_run();
  request.ranks = 1;
  // MLPerf's fused implementation reaches 7,160 images/s with 400 images, and 4,908 with 64.
  const auto views_per_second = [&](std::int64_t batch) {
    request.config->batch_size = batch;
    const RunPlan plan = make_plan(request);
    return std::pair(2.0 * static_cast<double>(batch) / plan.slowest_seconds,
                     2.0 * static_cast<double>(batch) / plan.step.total);
  };
  const auto [slow400, fast400] = views_per_second(200);
  EXPECT_LT(slow400, 3000);
  EXPECT_GT(fast400, 5500);
  EXPECT_LT(fast400, 7160);
  const auto [slow64, fast64] = views_per_second(32);
  EXPECT_LT(slow64, 3000);
  EXPECT_LT(fast64, 4908);
  const RunPlan plan = make_plan(request);
  expect_contains(to_text(plan), " ms to ");
  expect_contains(to_text(plan), "nobody has measured this machine");
  const auto json = nlohmann::json::parse(to_json(plan));
  EXPECT_EQ(json.at("model").at("seconds_step_at_most"), plan.slowest_seconds);
}

TEST(Plan, AsksTheProcessorThatTheRunIsFor) {
  PlanRequest request = paper_run();
  request.config->device.precision = Precision::bf16;
  for (const char* machine : {"h100", ""}) {
    request.machine = machine;
    request.config->device.choice = *machine == '\0' ? DeviceChoice::cuda : DeviceChoice::automatic;
    EXPECT_EQ(make_plan(request).config->device.precision, Precision::bf16) << machine;
  }
  request.config->device.choice = DeviceChoice::automatic;
  const auto file = std::filesystem::path(testing::TempDir()) / "plan-processor.json";
  request.machine = file.string();
  Machine cpu = test::round_machine();
  cpu.kind = DeviceKind::cpu;
  write_machine(file, cpu);
  expect_contains(refusal(request), "the CPU of " + file.string() + " has no native bf16");
  cpu.half_gflops = 2000;
  write_machine(file, cpu);
  request.config->encoder = "resnet18";
  request.config->image_size = 32;
  const RunPlan planned = make_plan(request);
  std::filesystem::remove(file);
  EXPECT_EQ(planned.config->device.precision, Precision::bf16);
  EXPECT_GT(planned.memory.workspace, 0);
  EXPECT_EQ(planned.memory.workspace_is_allowance, !cpu_has_native_bf16());
  if (cpu_has_native_bf16()) return;
  request.machine = "measured";
  expect_contains(refusal(request), "--machine h100 or FILE");
}

TEST(Plan, RefusesContradictingRequests) {
  PlanRequest request = paper_run();
  request.ranks = 60;
  expect_contains(refusal(request), "--batch-size: 4096 cannot be divided among 60 ranks");
  request = paper_run();
  request.config->bn_group = "48";
  expect_contains(refusal(request), "--bn-group");
  request = paper_run();
  request.samples = 4000;
  expect_contains(refusal(request), "4096 is more than the 4000 images");
  request = paper_run();
  request.samples.reset();
  expect_contains(refusal(request), "--samples");
  request = paper_run();
  request.config->device.choice = DeviceChoice::cpu;
  expect_contains(refusal(request), "--device: cpu");
  request = paper_run();
  request.machine = "nowhere.json";
  expect_contains(refusal(request), "nowhere.json");
  request = paper_run();
  request.config->eval_data = "/no/such/directory";
  expect_contains(refusal(request), "/no/such/directory");
}

TEST(Plan, SuggestsOptionsThatFitIntoADevice) {
  PlanRequest request = paper_run();
  request.ranks = 4;  // 2048 views per GPU have 84 GB of activations
  const std::string refused = refusal(request);
  expect_contains(refused, "--recompute blocks");
  expect_contains(refused, "--batch-size ");
  request.config->recompute = Recompute::blocks;
  EXPECT_EQ(refusal(request), "accepted");
  request.config->recompute = Recompute::none;
  const auto at = refused.find("--batch-size ") + std::string("--batch-size ").size();
  request.config->batch_size = std::stoll(refused.substr(at));
  EXPECT_LT(request.config->batch_size, 4096);
  EXPECT_GT(request.config->batch_size, 3000);
  EXPECT_EQ(refusal(request), "accepted");
}

TEST(Plan, AdviceSpreadsTheCacheAsTheProgramDoes) {
  PlanRequest request = paper_run();
  request.ranks = 4;  // 2048 views per GPU have 84 GB of activations
  request.ranks_per_node = 2;
  request.node_memory_gb = 150;  // less than the data set, more than the part of one of two nodes
  const std::string refused = refusal(request);
  expect_contains(refused, "--recompute blocks");
  request.config->cache = CacheMode::distributed;
  EXPECT_EQ(refusal(request), refused);
  request.config->cache = CacheMode::automatic;
  request.config->recompute = Recompute::blocks;
  const RunPlan plan = make_plan(request);
  EXPECT_EQ(plan.strong[2].problem, "");  // 4 devices on two nodes
  EXPECT_EQ(plan.strong[1].problem, "the data set does not fit into a node's memory");
  request.config->cache = CacheMode::none;
  EXPECT_EQ(make_plan(request).strong[1].problem, "");
}

TEST(Plan, RefusesACacheThatDoesNotFitANode) {
  PlanRequest request = paper_run();
  request.config->cache = CacheMode::node;
  request.node_memory_gb = 200;
  expect_contains(refusal(request), "--cache distributed");
  request.node_memory_gb = 512;
  EXPECT_EQ(refusal(request), "accepted");
  request.node_memory_gb = 200;
  request.config->cache = CacheMode::none;
  EXPECT_EQ(refusal(request), "accepted");
}

TEST(Plan, DistributesACacheThatDoesNotFitANode) {
  PlanRequest request = paper_run();
  const RunPlan unknown = make_plan(request);
  EXPECT_EQ(unknown.memory.cache_per_node, unknown.data.bytes);
  request.node_memory_gb = 512;
  EXPECT_EQ(make_plan(request).memory.cache_per_node, unknown.data.bytes);
  request.node_memory_gb = 200;
  const RunPlan spread = make_plan(request);
  ASSERT_GT(spread.nodes(), 1);
  EXPECT_DOUBLE_EQ(spread.memory.cache_per_node, spread.data.bytes / spread.nodes());
  request.config->cache = CacheMode::distributed;
  EXPECT_EQ(make_plan(request).memory.cache_per_node, spread.memory.cache_per_node);
  request.node_memory_gb = 1;
  expect_contains(refusal(request), "more nodes");
}

TEST(Plan, RefusesARunThatNeverWritesACheckpoint) {
  PlanRequest request = paper_run();
  request.config->checkpoint_every_epochs = 0;
  request.config->checkpoint_every_minutes = 0;
  expect_contains(refusal(request), "--checkpoint-every-minutes");
}

TEST(Plan, RefusesATimeLimitBeforeTheFirstCheckpoint) {
  PlanRequest request = paper_run();
  request.time_limit_minutes = 5;
  request.config->checkpoint_every_epochs = 90;
  expect_contains(refusal(request), "--time-limit-minutes");
  request.config->stop_before_minutes = 2;
  EXPECT_EQ(refusal(request), "accepted");
  request.config->stop_before_minutes.reset();
  request.config->checkpoint_every_epochs = 1;
  EXPECT_EQ(refusal(request), "accepted");
}

}  // namespace
}  // namespace simclr
