#include <algorithm>
#include <cmath>
#include <limits>

#include "simclr/core/check.hpp"
#include "step_model.hpp"

namespace simclr::plan {
namespace {

constexpr double kCpuBlock = 16;  // channels per block in the CPU's layout

double stored_channels(std::int64_t channels, DeviceKind kind) {
  const auto count = static_cast<double>(channels);
  const bool blocked = kind == DeviceKind::cpu && channels != 3;
  return blocked ? std::ceil(count / kCpuBlock) * kCpuBlock : count;
}

/// Weights of a convolution (K,R,S,C) or a linear layer (K,C), and their output.
struct Filter {
  TensorId weights, output;
  ConvGeometry geometry{};
};

std::optional<Filter> filter_of(const Op& op) {
  if (const auto* o = std::get_if<ConvForward>(&op)) return Filter{o->w, o->y, o->geometry};
  if (const auto* o = std::get_if<ConvBackwardData>(&op)) return Filter{o->w, o->dy, o->geometry};
  if (const auto* o = std::get_if<ConvBackwardWeights>(&op)) {
    return Filter{o->dw, o->dy, o->geometry};
  }
  if (const auto* o = std::get_if<MatMul>(&op)) return Filter{o->w, o->y};
  if (const auto* o = std::get_if<MatMulBackwardData>(&op)) return Filter{o->w, o->dy};
  if (const auto* o = std::get_if<MatMulBackwardWeights>(&op)) return Filter{o->dw, o->dy};
  return {};
}

/// The largest tensor that an op touches.
const TensorInfo& largest_tensor(const Program& program, const Op& op) {
  const Access touched = access(op);
  TensorId largest = touched.reads.empty() ? touched.writes.front() : touched.reads.front();
  for (const auto* tensors : {&touched.reads, &touched.writes}) {
    for (const TensorId id : *tensors) {
      if (program.info(id).shape.elements() > program.info(largest).shape.elements()) largest = id;
    }
  }
  return program.info(largest);
}

bool is_half(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }

bool touches_half(const Program& program, const Op& op) {
  const Access touched = access(op);
  const auto half = [&](TensorId id) { return is_half(program.info(id).dtype); };
  return std::ranges::any_of(touched.reads, half) || std::ranges::any_of(touched.writes, half);
}

/// True for ops whose products run on 16-bit arithmetic. On a GPU, those of plain
/// NT-Xent do, too.
bool multiplies_in_half(const Program& program, const Op& op, DeviceKind kind) {
  if (filter_of(op)) return touches_half(program, op);
  if (kind == DeviceKind::cpu) return false;
  const auto is_half_loss = [](const auto* o) {
    return o != nullptr && o->loss.is_plain() && is_half(o->similarity);
  };
  return is_half_loss(std::get_if<ContrastiveForward>(&op)) ||
         is_half_loss(std::get_if<ContrastiveBackward>(&op));
}

/// Ratio of the arithmetic with and without padded channels.
double padding_factor(const Program& program, const Op& op, DeviceKind kind) {
  const auto filter = filter_of(op);
  if (!filter) return 1;
  const Shape& w = program.info(filter->weights).shape;
  return stored_channels(w[0], kind) * stored_channels(w[-1], kind) /
         (static_cast<double>(w[0]) * static_cast<double>(w[-1]));
}

/// Elements per channel: the pixels of all views.
double rows_of(const Shape& shape) {
  return static_cast<double>(shape.elements()) / static_cast<double>(shape[-1]);
}

/// Squared distance between shapes in doublings; sizes of 0 match any.
double distance(const OpShape& a, const OpShape& b) {
  const auto doublings = [](double x, double y) { return x > 0 && y > 0 ? std::log2(x / y) : 0.0; };
  const auto squared = [&](double weight, double x, double y) {
    const double d = doublings(x, y);
    return weight * d * d;
  };
  constexpr double kRows = 0.25;  // the number of pixels changes the speed least
  constexpr double kKernel = 2;
  constexpr double kStride = 2;
  constexpr double kOtherPrecision = 4;
  return squared(1, a.in_channels, b.in_channels) + squared(1, a.out_channels, b.out_channels) +
         squared(kRows, a.rows, b.rows) + squared(kKernel, a.kernel, b.kernel) +
         squared(kStride, a.stride, b.stride) + (a.half != b.half ? kOtherPrecision : 0);
}

}  // namespace

OpShape shape_of(const Program& program, const Op& op, DeviceKind kind) {
  OpShape shape{.kind = std::string(verb(op)), .half = touches_half(program, op)};
  if (const auto filter = filter_of(op)) {
    const Shape& w = program.info(filter->weights).shape;
    const Shape& y = program.info(filter->output).shape;
    shape.in_channels = stored_channels(w[-1], kind);
    shape.out_channels = stored_channels(w[0], kind);
    shape.rows = rows_of(y);
    shape.kernel = filter->geometry.kernel;
    shape.stride = filter->geometry.stride;
    return shape;
  }
  const TensorInfo& tensor = largest_tensor(program, op);
  const double channels = is_flat(tensor.storage) ? 1 : stored_channels(tensor.shape[-1], kind);
  shape.in_channels = shape.out_channels = channels;
  shape.rows = is_flat(tensor.storage) ? static_cast<double>(tensor.shape.elements())
                                       : rows_of(tensor.shape);
  return shape;
}

Demand demand_of(const Program& program, const Op& op, DeviceKind kind) {
  const OpCost cost = cost_of(program, op);
  return {.flops = cost.flops,
          .padded_flops = cost.flops * padding_factor(program, op, kind),
          .half = multiplies_in_half(program, op, kind),
          .bytes = cost.bytes};
}

double roofline_seconds(const Demand& demand, const Machine& machine) {
  const bool half = demand.half && machine.half_gflops > 0;
  const double peak = half ? machine.half_gflops : machine.f32_gflops;
  return std::max(demand.padded_flops / peak, demand.bytes / machine.memory_gbytes_per_second) /
         kGiga;
}

double share_of(const OpShape& shape, const std::vector<Efficiency>& efficiencies) {
  std::size_t longest = 0;
  bool found = false;
  for (const Efficiency& e : efficiencies) {
    if (!shape.kind.starts_with(e.shape.kind)) continue;
    longest = std::max(longest, e.shape.kind.size());
    found = true;
  }
  if (!found) {
    fail("the machine file has no efficiency for the op {}; add an entry whose op is \"\"",
         shape.kind);
  }
  const auto applies = [&](const Efficiency& e) {
    return e.shape.kind.size() == longest && shape.kind.starts_with(e.shape.kind);
  };
  double least_rows = std::numeric_limits<double>::max();
  double most_rows = 0;
  for (const Efficiency& e : efficiencies) {
    if (!applies(e) || !(e.shape.rows > 0)) continue;
    least_rows = std::min(least_rows, e.shape.rows);
    most_rows = std::max(most_rows, e.shape.rows);
  }
  // Beyond the measured numbers of pixels, the share is that at the nearest one.
  OpShape near = shape;
  if (shape.rows > 0 && most_rows > 0) near.rows = std::clamp(shape.rows, least_rows, most_rows);
  // Weights are inverse fourth powers of distances. Averages logarithms, since shares are ratios.
  constexpr double kNear = 0.02;
  double weights = 0;
  double sum = 0;
  for (const Efficiency& e : efficiencies) {
    if (!applies(e)) continue;
    const double d = distance(near, e.shape) + kNear;
    weights += 1 / (d * d);
    sum += std::log(e.share) / (d * d);
  }
  return std::exp(sum / weights);
}

double op_seconds(const Program& program, const Op& op, const Machine& machine) {
  return machine.op_start_us * kMicro +
         roofline_seconds(demand_of(program, op, machine.kind), machine) /
             share_of(shape_of(program, op, machine.kind), machine.efficiencies);
}

bool is_communication(const Op& op) {
  return std::holds_alternative<AllReduce>(op) || std::holds_alternative<AllGather>(op) ||
         std::holds_alternative<ReduceGradients>(op) ||
         std::holds_alternative<WaitForGradients>(op);
}

}  // namespace simclr::plan
