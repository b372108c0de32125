#include <algorithm>
#include <map>

#include "simclr/core/check.hpp"
#include "simclr/program/planner.hpp"

namespace simclr {
namespace {

struct Ready {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::size_t op = 0;  ///< the op that completes the gradient
  bool probe = false;
};

/// The trained parameters' gradient slices in flat order, each with the op that completes it.
std::vector<Ready> ready_slices(const Program& program) {
  std::map<TensorId, std::size_t> last_write;
  for (std::size_t op = 0; op < program.update_begin; ++op) {
    for (const TensorId id : access(program.ops[op]).writes) last_write[id] = op;
  }
  std::vector<Ready> result;
  for (const Parameter& parameter : program.parameters) {
    if (!parameter.trained()) continue;
    const auto written = last_write.find(parameter.gradient);
    if (written == last_write.end()) fail("nothing writes the gradient of '{}'", parameter.name);
    const TensorInfo& info = program.info(parameter.gradient);
    result.push_back({info.offset, info.offset + info.shape.elements(), written->second,
                      parameter.part == Part::probe});
  }
  std::ranges::sort(result, {}, &Ready::begin);
  return result;
}

std::vector<Ready> merge_into_buckets(const std::vector<Ready>& slices, std::size_t bucket_bytes) {
  std::vector<Ready> buckets;
  bool full = true;
  for (const Ready& slice : slices) {
    // The model's sums are those of a model without a probe.
    if (full || slice.probe != buckets.back().probe) {
      buckets.push_back(slice);
    } else {
      buckets.back().end = slice.end;
      buckets.back().op = std::max(buckets.back().op, slice.op);
    }
    const auto elements = static_cast<std::size_t>(buckets.back().end - buckets.back().begin);
    full = elements * sizeof(float) >= bucket_bytes;
  }
  // Launch order = flat order on every rank: a bucket never starts before the one in front of it.
  for (std::size_t i = 1; i < buckets.size(); ++i) {
    buckets[i].op = std::max(buckets[i].op, buckets[i - 1].op);
  }
  return buckets;
}

}  // namespace

void insert_gradient_buckets(Program& program, std::size_t bucket_bytes) {
  const std::vector<Ready> buckets = merge_into_buckets(ready_slices(program), bucket_bytes);
  require(!buckets.empty(), "a program with gradient buckets trains something");
  program.tensors.push_back(
      {"flat gradients", {program.trained_elements}, DType::f32, Storage::gradients, 0});
  const TensorId gradients{static_cast<std::int32_t>(program.tensors.size()) - 1};

  std::vector<Op> ops;
  std::vector<std::string> labels;
  const auto append = [&](Op op, std::string label) {
    ops.push_back(std::move(op));
    labels.push_back(std::move(label));
  };
  std::size_t next = 0;
  for (std::size_t op = 0; op < program.update_begin; ++op) {
    append(std::move(program.ops[op]), std::move(program.labels[op]));
    for (; next < buckets.size() && buckets[next].op == op; ++next) {
      const Ready& bucket = buckets[next];
      append(ReduceGradients{gradients, bucket.begin, bucket.end - bucket.begin},
             fmt::format("bucket {}", next));
    }
  }
  append(WaitForGradients{gradients}, "buckets");
  const std::size_t update_begin = ops.size();
  for (std::size_t op = program.update_begin; op < program.ops.size(); ++op) {
    append(std::move(program.ops[op]), std::move(program.labels[op]));
  }
  // Inference and statistics come first: the backward pass begins where it did.
  program.ops = std::move(ops);
  program.labels = std::move(labels);
  program.update_begin = update_begin;
}

}  // namespace simclr
