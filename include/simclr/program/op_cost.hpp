#pragma once
// What an op costs by its definition: counted from its shapes, not measured.

#include <string>

#include "simclr/program/program.hpp"

namespace simclr {

struct OpCost {
  double flops = 0;  ///< of convolutions and matrix products (a multiply-add is two); else 0
  double bytes =
      0;  ///< every tensor read and every tensor written once, as the host would store it
};
OpCost cost_of(const Program& program, const Op& op);

/// The op's kind and its shapes: "conv_forward (32,8,8,64) 64 3x3/2". Equal texts, equal work.
std::string shape_text(const Program& program, const Op& op);

}  // namespace simclr
