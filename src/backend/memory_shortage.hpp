#pragma once
// What to say, and what batch to advise, when a program does not fit into the device.

#include <cstddef>
#include <string>

#include "simclr/backend/backend.hpp"
#include "simclr/program/planner.hpp"

namespace simclr {

/// A program that is being made ready, as far as its memory goes.
struct MemoryDemand {
  const Program& program;
  const ArenaPlan& plan;
  std::size_t workspace_bytes = 0;
  std::size_t other_bytes = 0;  ///< that the plan does not know
  int ranks = 1;
  bool inputs_are_staged = false;  ///< each is there twice
};

/// The error again, naming what did not fit (`what`), the largest activation and, from the memory
/// that activations take a view, the batch that would fit where now `held_bytes` are allocated.
OutOfDeviceMemory explain_shortage(const OutOfDeviceMemory& error, const std::string& what,
                                   std::size_t held_bytes, const MemoryDemand& demand);

}  // namespace simclr
