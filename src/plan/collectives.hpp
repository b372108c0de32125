#pragma once
// Counts the communication of a step from its ops and predicts its time on a network.
//
// Among P members, over a link with start s, hop a and bandwidth B, b bytes take
//   all-reduce  s + min( h a + h b/B,             recursive doubling, for short messages
//                        2 h a + 2 (P-1)/P b/B )  halving and doubling, for long ones
//   all-gather  s + h a + (P-1)/P b/B             b is the size of the gathered result
// with h = ceil(log2 P) (Thakur, Rabenseifner and Gropp 2005; a ring has the second form's
// bandwidth with 2 (P-1) hops). On nodes of D ranks, a collective runs first within the nodes and
// then between them, where every device of a node moves its b/D over its own link.

#include <optional>
#include <vector>

#include "simclr/plan/machine.hpp"
#include "simclr/plan/step_prediction.hpp"
#include "simclr/program/program.hpp"

namespace simclr::plan {

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

}  // namespace simclr::plan
