#pragma once
// Seconds of one op on a device, from what it counts and what the machine reaches:
//
//   seconds = start + max(flops / peak, bytes / bandwidth) / share
//
// The share is interpolated between the machine's efficiencies for ops of the same kind.

#include "simclr/plan/machine.hpp"
#include "simclr/program/op_cost.hpp"

namespace simclr::plan {

/// Everything that an op's speed is taken to depend on. On a CPU channels count as they are stored,
/// in blocks of 16.
OpShape shape_of(const Program& program, const Op& op, DeviceKind kind);

/// The least seconds that the machine's limits allow.
double roofline_seconds(const Program& program, const Op& op, const Machine& machine);

/// The share for a shape; from entries of the longest fitting kind, near shapes counting most.
/// Throws Error when the machine has none for this kind.
double share_of(const OpShape& shape, const std::vector<Efficiency>& efficiencies);

double op_seconds(const Program& program, const Op& op, const Machine& machine);

/// Whether an op moves bytes between ranks (it then costs the network's time, not the device's).
bool is_communication(const Op& op);

}  // namespace simclr::plan
