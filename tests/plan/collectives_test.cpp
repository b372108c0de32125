// Counted communication against counts by hand, and its time against the formulas.

#include "plan/step_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "plan_cases.hpp"

namespace simclr::plan {
namespace {

std::map<Traffic, TrafficCount> traffic_of(const Program& program) {
  std::map<Traffic, TrafficCount> result;
  for (const TrafficCount& count : count_traffic(program)) result[count.traffic] = count;
  return result;
}

TEST(Collectives, CountsMatchCountsByHand) {
  constexpr int kRanks = 4;
  constexpr int kViews = 8;  // per rank
  const Program program = test::small_step(kRanks);
  auto traffic = traffic_of(program);
  // Stem, 16 convolutions in blocks, 3 shortcuts and 2 layers of the head have 22 batch norms, each
  // with sums forward and backward of two f64 per channel.
  const int channels = 8 + 4 * 8 + (4 + 1) * (16 + 32 + 64) + 64 + 32;
  EXPECT_EQ(traffic[Traffic::bn_statistics].messages, 2 * 22);
  EXPECT_EQ(traffic[Traffic::bn_statistics].bytes, 2 * channels * 2 * 8);
  // All ranks' u (V,32) and log-sum-exps (V).
  EXPECT_EQ(traffic[Traffic::embeddings].messages, 2);
  EXPECT_EQ(traffic[Traffic::embeddings].bytes, kRanks * kViews * (32 + 1) * 4);
  EXPECT_EQ(traffic[Traffic::loss_sums].messages, 1);
  EXPECT_EQ(traffic[Traffic::loss_sums].bytes, 3 * 8);
  // All gradients fit into one bucket of 4 MB.
  EXPECT_EQ(traffic[Traffic::gradients].messages, 1);
  std::int64_t end = 0;
  for (const Parameter& p : program.parameters) {
    const TensorInfo& gradient = program.info(p.gradient);
    end = std::max(end, gradient.offset + gradient.shape.elements());
  }
  EXPECT_EQ(traffic[Traffic::gradients].bytes, 4.0 * static_cast<double>(end));
  EXPECT_EQ(traffic.count(Traffic::running), 0U);
}

TEST(Collectives, OneRankSendsNothing) { EXPECT_TRUE(count_traffic(test::small_step(1)).empty()); }

TEST(Collectives, LocalBatchNormSumsRunningStatisticsOnly) {
  PretrainingSpec spec;
  spec.encoder = {.depth = 18, .width = 0.125, .stem = Stem::cifar};
  spec.image_size = 16;
  spec.local_samples = 4;
  spec.world_size = 2;
  const Program program = record_pretraining(spec);
  auto traffic = traffic_of(program);
  EXPECT_EQ(traffic.count(Traffic::bn_statistics), 0U);
  EXPECT_EQ(traffic[Traffic::running].messages, 1);
  EXPECT_EQ(traffic[Traffic::running].bytes, 4.0 * static_cast<double>(program.running_elements));
}

TEST(Collectives, HopsLimitShortMessagesAndBandwidthLongOnes) {
  const Machine machine = test::round_machine();
  const Placement node{.ranks = 4, .ranks_per_node = 4, .bn_ranks = 4};
  // start 2 us + 2 hops of 1 us.
  EXPECT_NEAR(message_seconds({.bytes = 8}, node, machine), 4e-6, 1e-8);
  // 2 us + 2 * 2 hops + 2 * 3/4 of 1 GB at 10 GB/s.
  EXPECT_NEAR(message_seconds({.bytes = 1e9}, node, machine), 0.15 + 6e-6, 1e-9);
  // All-gather: 2 us + 2 hops + 3/4 of 1 GB.
  EXPECT_NEAR(message_seconds({.gathers = true, .bytes = 1e9}, node, machine), 0.075 + 4e-6, 1e-9);
}

TEST(Collectives, DevicesOfANodeExchangeTheirSharesBetweenNodes) {
  const Machine machine = test::round_machine();
  const Placement nodes{.ranks = 16, .ranks_per_node = 4, .bn_ranks = 2};
  // Inside as above; between: 20 us + 2 * 2 hops of 5 us + 2 * 3/4 of a quarter at 1 GB/s.
  EXPECT_NEAR(message_seconds({.bytes = 1e9}, nodes, machine), 0.15 + 6e-6 + 0.375 + 40e-6, 1e-9);
  // A group of two adjacent ranks stays inside a node: 2 us + 1 hop.
  EXPECT_NEAR(message_seconds({.on_bn_group = true, .bytes = 8}, nodes, machine), 3e-6, 1e-8);
}

/// What steps of a ResNet-18 took longer over links that are slow or far than over others, in
/// seconds: scripts/experiments/plan_network.py, on network namespaces of one machine.
struct MeasuredLinks {
  const char* name;
  int nodes = 2, ranks_per_node = 1;
  float width = 0.5;  // 11.6 MB of gradients; 0.125: 0.8 MB
  double hop_us = 30;
  double megabits_per_second = 8000;
  double seconds = 0;
};

TEST(Collectives, AgreeWithStepsOverSlowLinks) {
  constexpr int kBatch = 48;
  for (const MeasuredLinks& links : std::vector<MeasuredLinks>{
           {.name = "2 nodes", .megabits_per_second = 100, .seconds = 1.65},
           {.name = "20 Mbit/s", .megabits_per_second = 20, .seconds = 8.75},
           {.name = "3 nodes", .nodes = 3, .megabits_per_second = 100, .seconds = 1.24},
           {.name = "2 ranks", .ranks_per_node = 2, .megabits_per_second = 100, .seconds = 1.93},
           {.name = "1 ms", .width = 0.125, .hop_us = 1030, .seconds = 0.062},
           {.name = "10 ms", .width = 0.125, .hop_us = 10030, .seconds = 0.571}}) {
    const int ranks = links.nodes * links.ranks_per_node;
    PretrainingSpec spec;
    spec.encoder = {.depth = 18, .width = links.width, .stem = Stem::cifar};
    spec.image_size = 32;
    spec.local_samples = kBatch / ranks;
    spec.world_size = ranks;
    spec.batch_norm.ranks_per_group = ranks;
    Machine machine = test::round_machine();
    machine.kind = DeviceKind::cpu;
    machine.overlaps_gradients = false;
    machine.inside = {.hop_us = 1, .gbytes_per_second = 5};
    machine.between = {.hop_us = links.hop_us,
                       .gbytes_per_second = links.megabits_per_second / 8e3 / links.ranks_per_node};
    const Placement placement{
        .ranks = ranks, .ranks_per_node = links.ranks_per_node, .bn_ranks = ranks};
    const StepTime time = predict_step(record_pretraining(spec), machine, placement,
                                       {.available = 1, .compute = 1, .loader = 1}, 0);
    EXPECT_NEAR(time.exposed_communication, links.seconds, 0.3 * links.seconds) << links.name;
  }
}

TEST(Collectives, TimeDoesNotFallWithMoreRanksOrBytes) {
  const Machine machine = h100_machine();
  double last = 0;
  for (int ranks = 1; ranks <= 1024; ranks *= 2) {
    const Placement placement{.ranks = ranks, .ranks_per_node = std::min(ranks, 8)};
    double smaller = 0;
    for (double bytes = 8; bytes < 1e9; bytes *= 10) {
      const double seconds = message_seconds({.bytes = bytes}, placement, machine);
      EXPECT_GE(seconds, smaller) << ranks << " ranks, " << bytes << " bytes";
      smaller = seconds;
    }
    const double small = message_seconds({.bytes = 1024}, placement, machine);
    EXPECT_GE(small, last);
    last = small;
  }
}

TEST(Collectives, H100PresetHasItsStatedLatencies) {
  const Machine machine = h100_machine();
  const auto small = [&](int ranks) {
    return message_seconds({.bytes = 64}, {.ranks = ranks, .ranks_per_node = 8}, machine) * 1e6;
  };
  EXPECT_NEAR(small(8), 7, 0.1);
  EXPECT_NEAR(small(16), 25, 1);
  EXPECT_NEAR(small(1024), 45, 1);
}

}  // namespace
}  // namespace simclr::plan
