#pragma once
// What measure_machine() makes of timed ops.

#include <string>
#include <vector>

#include "step_model.hpp"

namespace simclr::plan {

/// An op of a network, at its position in a step.
struct TimedOp {
  std::string text;  ///< shapes of all its tensors; ops of equal text count as one
  OpShape shape;
  Demand demand;
  std::vector<double> seconds;  ///< of each step; empty if the time was up before
};

/// Sets the machine's efficiencies. A peak that was measured while other processes had the cores
/// is raised to the speed of the fastest op, since no op exceeds the true peak.
void set_shares(Machine& machine, const std::vector<TimedOp>& timed);

/// What the measurement was exposed to.
struct Disturbance {
  double limit_seconds = 0;
  int networks = 0, skipped_networks = 0;
  double waiting_share = 0;  ///< part of the time in which the measuring thread had no core
};
/// Says why the measured times are uncertain; empty on an idle machine.
std::vector<std::string> describe(const Disturbance& disturbance,
                                  const std::vector<TimedOp>& timed);

/// The kinds of ops of a program that the machine has no efficiency for.
std::vector<std::string> missing_kinds(const Program& program, const Machine& machine);

}  // namespace simclr::plan
