#include "step_model.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/augment/augmentation_work.hpp"

namespace simclr::plan {
namespace {

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
  const double hop = hops(members) * link.hop_us * kMicro;
  const double transfer = bytes / (link.gbytes_per_second * kGiga);
  const double share = static_cast<double>(members - 1) / members;
  return link.start_us * kMicro +
         std::min(hop + hops(members) * transfer, 2 * hop + 2 * share * transfer);
}

double all_gather_seconds(double bytes, int members, const Link& link) {
  if (members <= 1) return 0;
  const double share = static_cast<double>(members - 1) / members;
  return (link.start_us + hops(members) * link.hop_us) * kMicro +
         share * bytes / (link.gbytes_per_second * kGiga);
}

double broadcast_seconds(double bytes, int members, const Link& link) {
  if (members <= 1) return 0;
  return hops(members) * link.hop_us * kMicro + bytes / (link.gbytes_per_second * kGiga);
}

/// A message of TCP: what is long asks first whether it may come, and its sender waits for
/// acknowledgments until its window, which doubles each time, covers the link.
double message_latency(double bytes, const Link& link) {
  constexpr double kEagerBytes = 65536;   // Open MPI's btl_tcp_eager_limit
  constexpr double kFirstWindow = 14600;  // RFC 6928
  const double hop = link.hop_us * kMicro;
  if (bytes <= kEagerBytes) return hop;
  const double window = std::min(bytes, 2 * hop * link.gbytes_per_second * kGiga);
  return 3 * hop + 2 * hop * std::max(0.0, std::log2(window / kFirstWindow));
}

/// Sums of MPI around a ring of nodes, whose first ranks have the links of all ranks.
double node_ring_seconds(double bytes, int ranks_per_node, int nodes, Link between) {
  between.gbytes_per_second *= ranks_per_node;
  // Two nodes send to each other over one TCP connection, whose acknowledgments wait behind the
  // data of the other direction. Measured: scripts/experiments/plan_network.py.
  constexpr double kBothWays = 0.6;
  if (nodes == 2) between.gbytes_per_second *= kBothWays;
  const double part = bytes / nodes;
  const double first = message_latency(part, between);
  // The window is open after the first exchange.
  const double next = std::min(first, 3 * between.hop_us * kMicro);
  const int exchanges = 2 * (nodes - 1);
  return between.start_us * kMicro + first + (exchanges - 1) * next +
         exchanges * part / (between.gbytes_per_second * kGiga);
}

/// On a CPU the views are copied before the step, which reads and writes them once; a GPU copies
/// them during the step before.
double input_seconds(const Program& program, const Machine& machine) {
  if (machine.kind != DeviceKind::cpu) return 0;
  const TensorInfo& views = program.info(program.at("views"));
  const auto values = static_cast<double>(views.shape.elements());
  const double bytes = values * static_cast<double>(size_in_bytes(views.dtype));
  return 2 * bytes / (machine.memory_gbytes_per_second * kGiga);
}

/// Simulates a step: an op ends at `now_`; gradient buckets queue on a lane that is busy until
/// `lane_end_`.
class Timeline {
 public:
  Timeline(const Machine& machine, const Placement& placement)
      : machine_(machine), placement_(placement) {}

  void run(const Program& program, const Op& op, StepTime& time) {
    if (const auto message = message_of(program, op)) return send(*message, time);
    if (std::holds_alternative<WaitForGradients>(op)) return wait(time);
    const double seconds = op_seconds(program, op, machine_);
    time.by_verb[std::string(verb(op))] += seconds;
    time.compute += seconds;
    now_ += seconds;
  }

 private:
  void send(const Message& message, StepTime& time) {
    const double seconds = message_seconds(message, placement_, machine_);
    time.by_traffic[message.traffic] += seconds;
    if (message.traffic == Traffic::gradients && machine_.overlaps_gradients) {
      lane_end_ = std::max(lane_end_, now_) + seconds;
      return;
    }
    expose(seconds, time);
  }
  void wait(StepTime& time) { expose(std::max(0.0, lane_end_ - now_), time); }
  void expose(double seconds, StepTime& time) {
    time.exposed_communication += seconds;
    now_ += seconds;
  }

  const Machine& machine_;
  const Placement& placement_;
  double now_ = 0;
  double lane_end_ = 0;
};

}  // namespace

const char* name_of(Traffic traffic) {
  constexpr std::array kNames{"batch-norm statistics", "embeddings", "loss sums",
                              "running statistics", "gradient buckets"};
  return kNames.at(static_cast<std::size_t>(traffic));
}

std::optional<Message> message_of(const Program& program, const Op& op) {
  if (const auto* o = std::get_if<AllReduce>(&op)) {
    return Message{.traffic = traffic_of(*o),
                   .on_bn_group = o->group == RankGroup::bn_group,
                   .bytes = bytes_of(program, o->buffer)};
  }
  if (const auto* o = std::get_if<AllGather>(&op)) {
    return Message{
        .traffic = Traffic::embeddings, .gathers = true, .bytes = bytes_of(program, o->all)};
  }
  if (const auto* o = std::get_if<ReduceGradients>(&op)) {
    return Message{.traffic = Traffic::gradients,
                   .bytes = static_cast<double>(o->count) * sizeof(float)};
  }
  return {};
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
  if (message.traffic == Traffic::gradients && machine.kind == DeviceKind::cpu && nodes > 1) {
    return all_reduce_seconds(message.bytes, inside, machine.inside) +
           node_ring_seconds(message.bytes, inside, nodes, machine.between) +
           broadcast_seconds(message.bytes, inside, machine.inside);
  }
  if (message.gathers) {
    return all_gather_seconds(message.bytes, inside, machine.inside) +
           all_gather_seconds(message.bytes / inside, nodes, machine.between);
  }
  return all_reduce_seconds(message.bytes, inside, machine.inside) +
         all_reduce_seconds(message.bytes / inside, nodes, machine.between);
}

StepTime predict_step(const Program& program, const Machine& machine, const Placement& placement,
                      const Cores& cores, double rendering) {
  StepTime time;
  Timeline timeline(machine, placement);
  for (const Op& op : program.ops) timeline.run(program, op, time);
  time.compute += input_seconds(program, machine);
  time.rendering = rendering;
  const double step = time.compute + time.exposed_communication;
  const double all_cores = (time.compute * cores.compute + rendering) / cores.available;
  time.total = std::max({step, rendering / cores.loader, all_cores + time.exposed_communication});
  return time;
}

namespace {

/// Time of SimCLR's operations, or of those without blur, in views of a size; 0 if not measured.
double measured_rendering(int image_size, bool blur, const Machine& machine) {
  double weights = 0;
  double sum = 0;
  for (const RenderingRate& rate : machine.rendering) {
    constexpr double kNear = 0.1;
    const double doublings = std::log2(image_size / rate.image_size);
    const double distance = kNear + doublings * doublings + (rate.blur != blur ? 100 : 0);
    weights += 1 / distance;
    sum += std::log(rate.nanoseconds_per_pixel) / distance;
  }
  if (weights == 0) return 0;
  const double pixels = double(image_size) * image_size;
  return std::exp(sum / weights) * pixels / kGiga;
}

/// The mean work of views of either branch, of images as large as the views.
double rendering_flops(const AugmentationConfig& augmentation, std::uint32_t view) {
  constexpr int kViews = 64;
  const int side = augmentation.image_size;
  double flops = 0;
  for (int i = 0; i < kViews; ++i) {
    const ViewParameters parameters =
        sample_view_parameters(augmentation, {.sample = i, .view = view}, side, side);
    flops += count_view_work(augmentation, parameters, side, side, DType::f32).flops / kViews;
  }
  return flops;
}

/// The measured operations' time for lists of no more work, and more in proportion for others.
double branch_seconds(const AugmentationConfig& augmentation, std::uint32_t view,
                      const Machine& machine) {
  AugmentationConfig measured = simclr_augmentation(augmentation.image_size);
  const bool blur = has_op(augmentation.ops_of(view), AugmentOp::blur);
  if (!blur) measured.ops.pop_back();
  const double ratio = rendering_flops(augmentation, view) / rendering_flops(measured, view);
  return measured_rendering(augmentation.image_size, blur, machine) * std::max(1.0, ratio);
}

}  // namespace

double rendering_seconds_per_view(const AugmentationConfig& augmentation, const Machine& machine) {
  if (!augmentation.second_ops) return branch_seconds(augmentation, 0, machine);
  return (branch_seconds(augmentation, 0, machine) + branch_seconds(augmentation, 1, machine)) / 2;
}

OpCost count_step(const Program& program) {
  OpCost sum;
  for (const Op& op : program.ops) {
    if (is_communication(op)) continue;
    const OpCost cost = cost_of(program, op);
    sum.flops += cost.flops;
    sum.bytes += cost.bytes;
  }
  return sum;
}

}  // namespace simclr::plan
