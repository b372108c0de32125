#include "collectives.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "simclr/core/check.hpp"
#include "simclr/core/overload.hpp"
#include "units.hpp"

namespace simclr::plan {
namespace {

constexpr double kMicrosecond = 1e-6;

double bytes_of(const Program& program, TensorId id) {
  const TensorInfo& info = program.info(id);
  return static_cast<double>(info.shape.elements()) *
         static_cast<double>(size_in_bytes(info.dtype));
}

Traffic traffic_of(const AllReduce& op) {
  if (op.group == RankGroup::bn_group) return Traffic::bn_statistics;
  return op.reduction == Reduction::mean ? Traffic::running : Traffic::loss_sums;
}

double hops(int members) { return std::ceil(std::log2(members)); }

double all_reduce_seconds(double bytes, int members, const Link& link) {
  if (members <= 1) return 0;
  const double hop = hops(members) * link.hop_us * kMicrosecond;
  const double transfer = bytes / (link.gbytes_per_second * kGiga);
  const double share = static_cast<double>(members - 1) / members;
  return link.start_us * kMicrosecond +
         std::min(hop + hops(members) * transfer, 2 * hop + 2 * share * transfer);
}

double all_gather_seconds(double bytes, int members, const Link& link) {
  if (members <= 1) return 0;
  const double share = static_cast<double>(members - 1) / members;
  return (link.start_us + hops(members) * link.hop_us) * kMicrosecond +
         share * bytes / (link.gbytes_per_second * kGiga);
}

}  // namespace

const char* name_of(Traffic traffic) {
  switch (traffic) {
    case Traffic::bn_statistics:
      return "batch-norm statistics";
    case Traffic::embeddings:
      return "embeddings";
    case Traffic::loss_sums:
      return "loss sums";
    case Traffic::running:
      return "running statistics";
    case Traffic::gradients:
      return "gradient buckets";
  }
  fail("internal error: unknown Traffic value");
}

std::optional<Message> message_of(const Program& program, const Op& op) {
  return std::visit(overload{[&](const AllReduce& o) -> std::optional<Message> {
                               return Message{.traffic = traffic_of(o),
                                              .on_bn_group = o.group == RankGroup::bn_group,
                                              .bytes = bytes_of(program, o.buffer)};
                             },
                             [&](const AllGather& o) -> std::optional<Message> {
                               return Message{.traffic = Traffic::embeddings,
                                              .gathers = true,
                                              .bytes = bytes_of(program, o.all)};
                             },
                             [](const ReduceGradients& o) -> std::optional<Message> {
                               return Message{
                                   .traffic = Traffic::gradients,
                                   .bytes = static_cast<double>(o.count) * sizeof(float)};
                             },
                             [](const auto&) -> std::optional<Message> { return {}; }},
                    op);
}

std::vector<TrafficCount> count_traffic(const Program& program) {
  std::vector<TrafficCount> counts;
  for (const Op& op : program.ops) {
    const auto message = message_of(program, op);
    if (!message) continue;
    auto known = std::ranges::find(counts, message->traffic, &TrafficCount::traffic);
    if (known == counts.end()) known = counts.insert(counts.end(), {.traffic = message->traffic});
    ++known->messages;
    known->bytes += message->bytes;
  }
  std::ranges::sort(counts, {}, &TrafficCount::traffic);
  return counts;
}

double message_seconds(const Message& message, const Placement& placement, const Machine& machine) {
  const int members = message.on_bn_group ? placement.bn_ranks : placement.ranks;
  const int inside = std::min(members, placement.ranks_per_node);
  const int nodes = (members + inside - 1) / inside;
  if (message.gathers) {
    return all_gather_seconds(message.bytes, inside, machine.inside) +
           all_gather_seconds(message.bytes / inside, nodes, machine.between);
  }
  return all_reduce_seconds(message.bytes, inside, machine.inside) +
         all_reduce_seconds(message.bytes / inside, nodes, machine.between);
}

}  // namespace simclr::plan
