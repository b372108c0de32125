#pragma once
// Predicts the time of one training step from its recorded ops.
//
// Ops run one after the other, each for op_seconds. Collectives on the critical path (batch-norm
// statistics, embeddings, loss sums) add their time. Gradient buckets queue on a separate lane once
// they are complete; only the part that is unfinished when the update waits for it is exposed. On a
// CPU there is no such lane, since MPI moves data only when it is called, and the buckets add their
// time, too.
//
// On a CPU the loader's threads render the next views on the same cores. A step takes at least the
// work of both divided by the cores, and at least the time of either on its own threads.

#include <optional>
#include <vector>

#include "simclr/augment/augmentation.hpp"
#include "simclr/plan/plan.hpp"
#include "simclr/program/program.hpp"

namespace simclr::plan {

inline constexpr double kMega = 1e6;
inline constexpr double kGiga = 1e9;
inline constexpr double kSecondsPerMinute = 60;
inline constexpr double kMicro = 1e-6;

// Predicts the time of one op on a device from its counts and the machine's limits:
//
//   seconds = start + max(flops / peak, bytes / bandwidth) / share
//
// The share is interpolated between the machine's efficiencies for ops of the same kind.

/// The shape of an op. On a CPU, channels are rounded up to blocks of 16, as they are stored.
OpShape shape_of(const Program& program, const Op& op, DeviceKind kind);

/// What an op asks of a device. `padded_flops` counts padded channels, too.
struct Demand {
  double flops = 0, padded_flops = 0;
  bool half = false;  ///< on 16-bit arithmetic, where the device has it
  double bytes = 0;
};
Demand demand_of(const Program& program, const Op& op, DeviceKind kind);

/// The shortest time that the machine's limits allow.
double roofline_seconds(const Demand& demand, const Machine& machine);

/// Interpolates the share for a shape from the entries of the longest matching kind, weighted by
/// nearness. Throws Error when no entry matches.
double share_of(const OpShape& shape, const std::vector<Efficiency>& efficiencies);

double op_seconds(const Program& program, const Op& op, const Machine& machine);

/// True for ops that move bytes between ranks, which take time on the network, not on the device.
bool is_communication(const Op& op);

// Counts the communication of a step from its ops and predicts its time on a network.
//
// Among P members, over a link with start s, hop a and bandwidth B, b bytes take
//   all-reduce  s + min( h a + h b/B,             recursive doubling, for short messages
//                        2 h a + 2 (P-1)/P b/B )  halving and doubling, for long ones
//   all-gather  s + h a + (P-1)/P b/B             b is the size of the gathered result
// with h = ceil(log2 P) (Thakur, Rabenseifner and Gropp 2005; a ring has the second form's
// bandwidth with 2 (P-1) hops). On nodes of D ranks, a collective runs first within the nodes and
// then between them, where every device of a node moves its b/D over its own link.
//
// The gradients of CPUs on N nodes are summed within the nodes, then around a ring of the nodes'
// first ranks (src/comm/node_ring.hpp), and broadcast within the nodes. The ring has 2 (N-1)
// exchanges of b/N bytes over the link of the whole node, B D. Each takes one hop, or three if it
// is too long to be sent unasked; the first one also waits for TCP's window to open. Two nodes use
// one connection in both directions, which reaches 0.6 of the bandwidth.

/// The message of an op that communicates.
struct Message {
  Traffic traffic = Traffic::bn_statistics;
  bool gathers = false;  ///< all-gather; else all-reduce
  bool on_bn_group = false;
  double bytes = 0;  ///< reduced bytes, or size of the gathered result
};
/// Empty for ops that send nothing (WaitForGradients, and all that compute).
std::optional<Message> message_of(const Program& program, const Op& op);

/// Counts the traffic of a step on one rank by kind; kinds without messages are left out.
std::vector<TrafficCount> count_traffic(const Program& program);

double message_seconds(const Message& message, const Placement& placement, const Machine& machine);

// A step of all its ops.

/// `rendering`: core seconds for all views of the rank.
StepTime predict_step(const Program& program, const Machine& machine, const Placement& placement,
                      const Cores& cores, double rendering);

/// Core seconds of rendering a view on the host, interpolated between the machine's rates.
double rendering_seconds_per_view(const AugmentationConfig& augmentation, const Machine& machine);

/// Counts the flops of convolutions and matrix products and the bytes that ops read and write in a
/// step on one rank.
OpCost count_step(const Program& program);

}  // namespace simclr::plan
