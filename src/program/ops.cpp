#include "simclr/program/ops.hpp"

#include "simclr/core/overload.hpp"

namespace simclr {
namespace {

struct AccessCollector {
  Access result;
  void read(TensorId t) { result.reads.push_back(t); }
  void write(TensorId t) { result.writes.push_back(t); }
  void update(TensorId t) {
    read(t);
    write(t);
  }
  void read(const std::optional<TensorId>& t) {
    if (t) read(*t);
  }
  void write(const std::optional<TensorId>& t) {
    if (t) write(*t);
  }
};

}  // namespace

Access access(const Op& op) {
  AccessCollector collector;
  Op copy = op;
  std::visit([&](auto& o) { detail::fields(o, collector); }, copy);
  return std::move(collector.result);
}

std::string_view verb(const Op& op) {
  return std::visit(overload{
                        [](const PackInput&) { return "pack_input"; },
                        [](const ConvForward&) { return "conv_forward"; },
                        [](const ConvBackwardData&) { return "conv_backward_data"; },
                        [](const ConvBackwardWeights&) { return "conv_backward_weights"; },
                        [](const BnStatistics&) { return "bn_statistics"; },
                        [](const BnFinalize&) { return "bn_finalize"; },
                        [](const BnInference&) { return "bn_inference"; },
                        [](const BnApply&) { return "bn_apply"; },
                        [](const BnBackwardReduce&) { return "bn_backward_reduce"; },
                        [](const BnBackwardApply&) { return "bn_backward_apply"; },
                        [](const MaxPool&) { return "max_pool"; },
                        [](const MaxPoolBackward&) { return "max_pool_backward"; },
                        [](const GlobalAvgPool&) { return "global_avg_pool"; },
                        [](const GlobalAvgPoolBackward&) { return "global_avg_pool_backward"; },
                        [](const AddInto&) { return "add_into"; },
                        [](const MatMul&) { return "matmul"; },
                        [](const MatMulBackwardData&) { return "matmul_backward_data"; },
                        [](const MatMulBackwardWeights&) { return "matmul_backward_weights"; },
                        [](const Relu&) { return "relu"; },
                        [](const ReluBackward&) { return "relu_backward"; },
                        [](const L2Normalize&) { return "l2_normalize"; },
                        [](const L2NormalizeBackward&) { return "l2_normalize_backward"; },
                        [](const NtXentForward&) { return "nt_xent_forward"; },
                        [](const NtXentBackward&) { return "nt_xent_backward"; },
                        [](const SoftmaxCrossEntropy&) { return "softmax_cross_entropy"; },
                        [](const TopK&) { return "top_k"; },
                        [](const AllReduce&) { return "all_reduce"; },
                        [](const AllGather&) { return "all_gather"; },
                        [](const ReduceGradients&) { return "reduce_gradients"; },
                        [](const WaitForGradients&) { return "wait_for_gradients"; },
                        [](const CheckFinite&) { return "check_finite"; },
                        [](const LarsUpdate&) { return "lars_update"; },
                        [](const SgdUpdate&) { return "sgd_update"; },
                        [](const AdamwUpdate&) { return "adamw_update"; },
                    },
                    op);
}

}  // namespace simclr
