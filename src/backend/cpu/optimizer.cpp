// Parameter updates over the flat buffers, in chunks of one parameter each.

#include <algorithm>
#include <array>
#include <cmath>

#include "memory.hpp"
#include "tiles.hpp"

namespace simclr::cpu {

namespace {

/// Elements of one parameter that are worked on at once; the partition, and with it the order in
/// which norms are summed, depends on shapes only.
constexpr std::int64_t kChunk = 16384;

struct Chunk {
  std::int64_t begin = 0, count = 0;
  std::size_t segment = 0;
};

std::vector<Chunk> split(const std::vector<ParameterSegment>& segments) {
  std::vector<Chunk> chunks;
  for (std::size_t s = 0; s < segments.size(); ++s) {
    const std::int64_t end = segments[s].offset + segments[s].count;
    for (std::int64_t begin = segments[s].offset; begin < end; begin += kChunk) {
      chunks.push_back({.begin = begin, .count = std::min(kChunk, end - begin), .segment = s});
    }
  }
  return chunks;
}

/// What all updates ask of the host before they run.
struct Gate {
  const float* control = nullptr;
  const std::int32_t* verdict = nullptr;  // or null

  [[nodiscard]] bool closed() const {
    return verdict != nullptr && (verdict[0] != 0 || verdict[1] != 0);
  }
  [[nodiscard]] float learning_rate() const { return control[0]; }
  [[nodiscard]] float gradient_factor() const { return 1.0F / control[3]; }
};

template <class AnyUpdate>
Gate gate_of(const AnyUpdate& op, const StepContext& context) {
  return {.control = context.tensor(op.control).template as<float>(),
          .verdict = context.values<std::int32_t>(op.verdict)};
}

template <class Visit>
void for_each_chunk(const std::vector<Chunk>& chunks, int threads, Visit&& visit) {
  for_each_index(static_cast<std::int64_t>(chunks.size()), threads,
                 [&](std::int64_t i) { visit(chunks[static_cast<std::size_t>(i)]); });
}

class LarsStep final : public Step {
 public:
  LarsStep(const LarsUpdate& op, const StepContext& context)
      : op_(op),
        threads_(context.threads),
        w_(context.tensor(op.parameters).as<float>()),
        g_(context.tensor(op.gradients).as<float>()),
        v_(context.tensor(op.momentum).as<float>()),
        gate_(gate_of(op, context)),
        chunks_(split(op.segments)),
        norms_(chunks_.size()),
        rates_(op.segments.size()) {}

  void run() override {
    if (gate_.closed()) return;
    const float gradient_factor = gate_.gradient_factor();
    find_norms(gradient_factor);
    find_rates();
    for_each_chunk(chunks_, threads_, [&](const Chunk& chunk) {
      kernels::table().optimizer.lars(w_ + chunk.begin, g_ + chunk.begin, v_ + chunk.begin,
                                      chunk.count, gradient_factor, rates_[chunk.segment],
                                      op_.momentum_factor, decay_of(chunk.segment));
    });
  }

 private:
  [[nodiscard]] float decay_of(std::size_t segment) const {
    return op_.segments[segment].regularised ? op_.weight_decay : 0.0F;
  }

  void find_norms(float gradient_factor) {
    for_each_index(static_cast<std::int64_t>(chunks_.size()), threads_, [&](std::int64_t i) {
      const auto index = static_cast<std::size_t>(i);
      const Chunk& chunk = chunks_[index];
      if (!op_.segments[chunk.segment].regularised) return;
      kernels::table().optimizer.lars_norms(w_ + chunk.begin, g_ + chunk.begin, chunk.count,
                                            gradient_factor, op_.weight_decay,
                                            norms_[index].data());
    });
  }

  // rate = learning rate * trust ratio, 1 for what is not regularised or has a zero norm.
  void find_rates() {
    const float learning_rate = gate_.learning_rate();
    std::size_t i = 0;
    for (std::size_t s = 0; s < rates_.size(); ++s) {
      double of_w = 0;
      double of_g = 0;
      for (; i < chunks_.size() && chunks_[i].segment == s; ++i) {
        of_w += norms_[i][0];
        of_g += norms_[i][1];
      }
      const bool scaled = op_.segments[s].regularised && of_w > 0 && of_g > 0;
      const double trust = scaled ? op_.trust_coefficient * std::sqrt(of_w / of_g) : 1.0;
      rates_[s] = static_cast<float>(learning_rate * trust);
    }
  }

  LarsUpdate op_;
  int threads_;
  float* w_;
  const float* g_;
  float* v_;
  Gate gate_;
  std::vector<Chunk> chunks_;
  std::vector<std::array<double, 2>> norms_;  // per chunk
  std::vector<float> rates_;                  // per segment
};

}  // namespace

StepPointer prepare_step(const CheckFinite& op, const StepContext& context) {
  const auto count = static_cast<std::size_t>(context.info(op.gradients).shape.elements());
  return make_step([count, sums = context.tensor(op.loss_sums).as<double>(),
                    loss_sums = context.info(op.loss_sums).shape.elements(),
                    gradients = context.tensor(op.gradients).data,
                    verdict = context.tensor(op.verdict).as<std::int32_t>()] {
    const bool finite_loss =
        std::all_of(sums, sums + loss_sums, [](double sum) { return std::isfinite(sum); });
    if (!finite_loss) verdict[0] = 1;
    if (!all_finite(gradients, count)) verdict[1] = 1;
  });
}

StepPointer prepare_step(const LarsUpdate& op, const StepContext& context) {
  return std::make_unique<LarsStep>(op, context);
}

StepPointer prepare_step(const SgdUpdate& op, const StepContext& context) {
  return make_step([op, chunks = split(op.segments), threads = context.threads,
                    w = context.tensor(op.parameters).as<float>(),
                    g = context.tensor(op.gradients).as<float>(),
                    v = context.tensor(op.momentum).as<float>(), gate = gate_of(op, context)] {
    if (gate.closed()) return;
    for_each_chunk(chunks, threads, [&](const Chunk& c) {
      const float decay = op.segments[c.segment].regularised ? op.weight_decay : 0.0F;
      kernels::table().optimizer.sgd(w + c.begin, g + c.begin, v + c.begin, c.count,
                                     gate.gradient_factor(), gate.learning_rate(),
                                     op.momentum_factor, decay, op.nesterov);
    });
  });
}

StepPointer prepare_step(const AdamwUpdate& op, const StepContext& context) {
  return make_step([op, chunks = split(op.segments), threads = context.threads,
                    w = context.tensor(op.parameters).as<float>(),
                    g = context.tensor(op.gradients).as<float>(),
                    m = context.tensor(op.momentum).as<float>(),
                    v = context.tensor(op.second_moment).as<float>(), gate = gate_of(op, context)] {
    if (gate.closed()) return;
    for_each_chunk(chunks, threads, [&](const Chunk& c) {
      const bool regularised = op.segments[c.segment].regularised;
      kernels::table().optimizer.adamw(w + c.begin, g + c.begin, m + c.begin, v + c.begin, c.count,
                                       {.gradient = gate.gradient_factor(),
                                        .learning_rate = gate.learning_rate(),
                                        .beta1 = op.beta1,
                                        .beta2 = op.beta2,
                                        .epsilon = op.epsilon,
                                        .weight_decay = regularised ? op.weight_decay : 0.0F,
                                        .correction1 = gate.control[1],
                                        .correction2 = gate.control[2]});
    });
  });
}

}  // namespace simclr::cpu
