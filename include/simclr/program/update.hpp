#pragma once
// The update of the parameters over the flat buffers, and the check that may forbid it.

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "simclr/tensor/tensor.hpp"

namespace simclr {

/// verdict i32 (2) becomes 1 where any loss sum (element 0) or any gradient (element 1) is infinite
/// or NaN, else stays as it was: an update that starts before the host knows of a bad step changes
/// nothing either.
struct CheckFinite {
  static constexpr std::string_view kVerb = "check_finite";
  TensorId loss_sums, gradients, verdict;
  static void fields(auto& o, auto& v) { v.reads(o.loss_sums, o.gradients), v.updates(o.verdict); }
};

/// LARS in the form of SimCLR's reference code: g = grad + wd*w; trust = trust_coefficient*|w|/|g|
/// (1 if either norm is 0); v = m*v + lr*trust*g; w -= v. Unregularized: wd = 0, trust = 1.
struct LarsRule {
  static constexpr std::string_view kVerb = "lars_update";
  float momentum = 0.9F;
  float weight_decay = 1e-6F;
  float trust_coefficient = 1e-3F;
};
/// v = m*v + g, w -= lr*v (Nesterov: w -= lr*(g + m*v)), g = grad + wd*w where regularized.
struct SgdRule {
  static constexpr std::string_view kVerb = "sgd_update";
  float momentum = 0.9F;
  float weight_decay = 0;
  bool nesterov = false;
};
/// Decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW.
struct AdamwRule {
  static constexpr std::string_view kVerb = "adamw_update";
  float beta1 = 0.9F;
  float beta2 = 0.999F;
  float epsilon = 1e-8F;
  float weight_decay = 0.01F;
};
using UpdateRule = std::variant<LarsRule, SgdRule, AdamwRule>;

/// Values of "control" for each optimizer.
inline constexpr int kControls = 4;

/// One parameter's slice of the flat buffers.
struct ParameterSegment {
  std::int64_t offset = 0;
  std::int64_t count = 0;
  bool regularized = true;  ///< weights; false for BN parameters and biases: no decay, trust 1
};

/// Updates the segments of whole flat buffers by a rule: w and its momentum v, which AdamW takes
/// for the first moment. `control` f32 holds 4 values for each optimizer of the program: (learning
/// rate lr, AdamW's bias corrections 1/(1-b1^t) and 1/(1-b2^t), loss scale S), of which this one
/// takes those of number `optimizer`. grad is the gradient buffer divided by S and, where it is
/// given, by the last element of `samples` f64 (4), SoftmaxCrossEntropy's sums, or by 1 if that is
/// less. With a `verdict` that is not all 0 the update changes nothing.
struct Update {
  TensorId parameters, gradients, momentum;
  std::optional<TensorId> second_moment;  ///< AdamW only
  TensorId control;
  std::optional<TensorId> verdict;
  std::vector<ParameterSegment> segments;
  UpdateRule rule;
  int optimizer = 0;
  std::optional<TensorId> samples{};
  static void fields(auto& o, auto& v) {
    v.updates(o.parameters, o.momentum, o.second_moment);
    v.reads(o.gradients, o.control, o.verdict, o.samples);
  }
  [[nodiscard]] std::string_view verb() const {
    return std::visit([](const auto& r) { return r.kVerb; }, rule);
  }
};

}  // namespace simclr
