#include "simclr/program/op_cost.hpp"

#include <fmt/format.h>

#include "simclr/core/overload.hpp"

namespace simclr {

namespace {

double flops_of(const Program& program, const Op& op) {
  const auto shape = [&](TensorId id) -> const Shape& { return program.info(id).shape; };
  return std::visit(
      [&](const auto& o) {
        if constexpr (requires { o.flops(shape); }) {
          return o.flops(shape);
        } else {
          return 0.0;
        }
      },
      op);
}

std::string filter_text(const Program& program, TensorId filter, const ConvGeometry& geometry) {
  const Shape& w = program.info(filter).shape;
  return fmt::format("{} -> {}, {}x{}{}", w[3], w[0], w[1], w[2],
                     geometry.stride > 1 ? fmt::format(" / {}", geometry.stride) : "");
}

std::string details(const Program& p, const Op& op) {
  return std::visit(
      overload{[&](const ConvForward& o) { return filter_text(p, o.w, o.geometry); },
               [&](const ConvBackwardData& o) { return filter_text(p, o.w, o.geometry); },
               [&](const ConvBackwardWeights& o) { return filter_text(p, o.dw, o.geometry); },
               [&](const BnApply& o) {
                 return fmt::format("{}{}", o.residual ? "+ residual" : "", o.relu ? " relu" : "");
               },
               [&](const BnBackwardReduce& o) {
                 return fmt::format("{}{}", o.dz_other ? "+ second gradient" : "",
                                    o.write_back ? " writes back" : "");
               },
               [](const auto&) { return std::string(); }},
      op);
}

}  // namespace

OpCost cost_of(const Program& program, const Op& op) {
  // Sums over ranks are of slices, and their time is the network's.
  if (std::holds_alternative<ReduceGradients>(op) || std::holds_alternative<WaitForGradients>(op)) {
    return {};
  }
  const Access touched = access(op);
  OpCost cost{.flops = flops_of(program, op)};
  for (const auto* tensors : {&touched.reads, &touched.writes}) {
    for (const TensorId id : *tensors) {
      const TensorInfo& info = program.info(id);
      cost.bytes += static_cast<double>(info.shape.elements()) *
                    static_cast<double>(size_in_bytes(info.dtype));
    }
  }
  return cost;
}

std::string shape_text(const Program& program, const Op& op) {
  const Access touched = access(op);
  const TensorId main = touched.reads.empty() ? touched.writes.front() : touched.reads.front();
  const std::string detail = details(program, op);
  return fmt::format("{} {}{}{}", verb(op), program.info(main).shape.text(),
                     detail.empty() ? "" : " ", detail);
}

}  // namespace simclr
