#pragma once
// What a step communicates, counted from its ops, and what that takes on a network.
//
// Among P members, over a link with start s, hop a and bandwidth B, b bytes take
//   all-reduce  s + min( h a + h b/B,             each rank doubles what it knows: short messages
//                        2 h a + 2 (P-1)/P b/B )  halving, then doubling: long ones
//   all-gather  s + h a + (P-1)/P b/B             b the gathered result
// with h = ceil(log2 P) (Thakur, Rabenseifner and Gropp 2005; a ring has the second form's
// bandwidth with 2 (P-1) hops). P ranks on nodes of D: first within the nodes, then between them,
// where every device of a node moves its b/D over its own link.

#include <optional>
#include <vector>

#include "simclr/plan/machine.hpp"
#include "simclr/plan/step_prediction.hpp"
#include "simclr/program/program.hpp"

namespace simclr::plan {

/// A communicating op's message.
struct Message {
  Traffic traffic = Traffic::bn_statistics;
  bool gathers = false;  ///< all-gather; else all-reduce
  bool on_bn_group = false;
  double bytes = 0;  ///< that are reduced, or the gathered result
};
/// Empty for ops that send nothing (WaitForGradients, and everything that computes).
std::optional<Message> message_of(const Program& program, const Op& op);

/// Of a step on one rank, by kind; kinds without a message are left out.
std::vector<TrafficCount> count_traffic(const Program& program);

double message_seconds(const Message& message, const Placement& placement, const Machine& machine);

}  // namespace simclr::plan
