#pragma once
// Predicts the time of one op on a device from its counts and the machine's limits:
//
//   seconds = start + max(flops / peak, bytes / bandwidth) / share
//
// The share is interpolated between the machine's efficiencies for ops of the same kind.

#include "simclr/plan/machine.hpp"
#include "simclr/program/op_cost.hpp"

namespace simclr::plan {

/// The shape of an op. On a CPU, channels are rounded up to blocks of 16, as they are stored.
OpShape shape_of(const Program& program, const Op& op, DeviceKind kind);

/// The shortest time that the machine's limits allow.
double roofline_seconds(const Program& program, const Op& op, const Machine& machine);

/// Interpolates the share for a shape from the entries of the longest matching kind, weighted by
/// nearness. Throws Error when no entry matches.
double share_of(const OpShape& shape, const std::vector<Efficiency>& efficiencies);

double op_seconds(const Program& program, const Op& op, const Machine& machine);

/// True for ops that move bytes between ranks, which take time on the network, not on the device.
bool is_communication(const Op& op);

}  // namespace simclr::plan
