// Parameter updates over the flat buffers, in chunks of one parameter each.

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/table.hpp"
#include "layout.hpp"
#include "steps.hpp"

namespace simclr::cpu {

namespace {

/// Elements of one parameter that are worked on at once; the partition, and with it the order in
/// which norms are summed, depends on shapes only.
constexpr std::int64_t kChunk = 16384;

struct Chunk {
  std::int64_t begin = 0, count = 0;  // elements of the flat buffers
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

/// What every rule works on.
struct Buffers {
  float* w = nullptr;
  const float* g = nullptr;
  float* m = nullptr;  // momentum
  float* v = nullptr;  // second moment, or null
  const float* control = nullptr;
  const std::int32_t* verdict = nullptr;  // or null
  const double* samples = nullptr;        // or null
  std::vector<ParameterSegment> segments;
  std::vector<Chunk> chunks;
  int threads = 1;

  [[nodiscard]] bool is_forbidden() const {
    return verdict != nullptr && (verdict[0] != 0 || verdict[1] != 0);
  }
  [[nodiscard]] float learning_rate() const { return control[0]; }
  [[nodiscard]] float gradient_factor() const {
    if (samples == nullptr) return 1.0F / control[3];
    return static_cast<float>(1.0 / (control[3] * std::max(samples[3], 1.0)));
  }

  /// visit(chunk, its index, its decay) for every chunk.
  template <class Visit>
  void for_each_chunk(float weight_decay, Visit&& visit) const {
    for_each_index(static_cast<std::int64_t>(chunks.size()), threads, [&](std::int64_t i) {
      const Chunk& chunk = chunks[static_cast<std::size_t>(i)];
      visit(chunk, static_cast<std::size_t>(i),
            segments[chunk.segment].regularized ? weight_decay : 0.0F);
    });
  }
};

class Lars {
 public:
  Lars(const LarsRule& rule, const Buffers& b)
      : rule_(rule), norms_(b.chunks.size()), rates_(b.segments.size()) {}

  void operator()(const Buffers& b) {
    const float gradient_factor = b.gradient_factor();
    find_norms(b, gradient_factor);
    find_rates(b);
    b.for_each_chunk(rule_.weight_decay, [&](const Chunk& c, std::size_t, float decay) {
      kernels::table().optimizer.lars(b.w + c.begin, b.g + c.begin, b.m + c.begin, c.count,
                                      gradient_factor, rates_[c.segment], rule_.momentum, decay);
    });
  }

 private:
  void find_norms(const Buffers& b, float gradient_factor) {
    b.for_each_chunk(rule_.weight_decay, [&](const Chunk& c, std::size_t i, float decay) {
      if (!b.segments[c.segment].regularized) return;
      kernels::table().optimizer.lars_norms(b.w + c.begin, b.g + c.begin, c.count, gradient_factor,
                                            decay, norms_[i].data());
    });
  }

  // rate = learning rate * trust ratio, 1 for what is not regularized or has a zero norm.
  void find_rates(const Buffers& b) {
    std::size_t i = 0;
    for (std::size_t s = 0; s < rates_.size(); ++s) {
      double of_w = 0;
      double of_g = 0;
      for (; i < b.chunks.size() && b.chunks[i].segment == s; ++i) {
        of_w += norms_[i][0];
        of_g += norms_[i][1];
      }
      const bool scaled = b.segments[s].regularized && of_w > 0 && of_g > 0;
      const double trust = scaled ? rule_.trust_coefficient * std::sqrt(of_w / of_g) : 1.0;
      rates_[s] = static_cast<float>(b.learning_rate() * trust);
    }
  }

  LarsRule rule_;
  std::vector<std::array<double, 2>> norms_;  // per chunk
  std::vector<float> rates_;                  // per segment
};

// What a rule does to the buffers, as a function of them.
Lars make_update(const LarsRule& rule, const Buffers& all) { return {rule, all}; }

auto make_update(const SgdRule& rule, const Buffers& /*all*/) {
  return [rule](const Buffers& b) {
    b.for_each_chunk(rule.weight_decay, [&](const Chunk& c, std::size_t, float decay) {
      kernels::table().optimizer.sgd(b.w + c.begin, b.g + c.begin, b.m + c.begin, c.count,
                                     b.gradient_factor(), b.learning_rate(), rule.momentum, decay,
                                     rule.nesterov);
    });
  };
}

auto make_update(const AdamwRule& rule, const Buffers& all) {
  require(all.v != nullptr, "AdamW has a second moment");
  return [rule](const Buffers& b) {
    b.for_each_chunk(rule.weight_decay, [&](const Chunk& c, std::size_t, float decay) {
      kernels::table().optimizer.adamw(b.w + c.begin, b.g + c.begin, b.m + c.begin, b.v + c.begin,
                                       c.count,
                                       {.gradient = b.gradient_factor(),
                                        .learning_rate = b.learning_rate(),
                                        .beta1 = rule.beta1,
                                        .beta2 = rule.beta2,
                                        .epsilon = rule.epsilon,
                                        .weight_decay = decay,
                                        .correction1 = b.control[1],
                                        .correction2 = b.control[2]});
    });
  };
}

}  // namespace

Prepared prepare(const CheckFinite& op, const Context& context) {
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

Prepared prepare(const Update& op, const Context& context) {
  if (!context.has_memory()) return {};  // needs no workspace; a huge model has millions of chunks
  const Buffers buffers{
      .w = context.tensor(op.parameters).as<float>(),
      .g = context.tensor(op.gradients).as<float>(),
      .m = context.tensor(op.momentum).as<float>(),
      .v = context.values<float>(op.second_moment),
      .control = context.tensor(op.control).as<float>() + kControls * op.optimizer,
      .verdict = context.values<std::int32_t>(op.verdict),
      .samples = context.values<double>(op.samples),
      .segments = op.segments,
      .chunks = split(op.segments),
      .threads = context.threads};
  return std::visit(
      [&](const auto& rule) {
        return make_step([buffers, update = make_update(rule, buffers)]() mutable {
          if (!buffers.is_forbidden()) update(buffers);
        });
      },
      op.rule);
}

}  // namespace simclr::cpu
