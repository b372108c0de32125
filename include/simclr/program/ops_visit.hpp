#pragma once
// Which fields of each op are tensors, and whether they are read, written or updated in place.
// Included by ops.hpp.

#include "simclr/program/ops.hpp"

namespace simclr {

namespace detail {

// fields(op, v) calls v.read / v.write / v.update on every tensor field of the op.
template <class V>
void fields(PackInput& o, V& v) {
  v.read(o.views), v.write(o.x);
}
template <class V>
void fields(ConvForward& o, V& v) {
  v.read(o.x), v.read(o.w), v.write(o.y);
}
template <class V>
void fields(ConvBackwardData& o, V& v) {
  v.read(o.dy), v.read(o.w), v.write(o.dx);
}
template <class V>
void fields(ConvBackwardWeights& o, V& v) {
  v.read(o.x), v.read(o.dy), v.write(o.dw);
}
template <class V>
void fields(BnStatistics& o, V& v) {
  v.read(o.y), v.read(o.running_mean), v.write(o.stats);
}
template <class V>
void fields(BnFinalize& o, V& v) {
  v.read(o.stats), v.read(o.gamma), v.read(o.beta);
  v.update(o.running_mean), v.update(o.running_var), v.write(o.affine), v.write(o.saved);
}
template <class V>
void fields(BnInference& o, V& v) {
  v.read(o.gamma), v.read(o.beta), v.read(o.running_mean), v.read(o.running_var);
  v.write(o.affine);
}
template <class V>
void fields(BnApply& o, V& v) {
  v.read(o.y), v.read(o.affine), v.read(o.residual), v.read(o.residual_affine), v.write(o.z);
}
template <class V>
void fields(BnBackwardReduce& o, V& v) {
  o.write_back ? v.update(o.dz) : v.read(o.dz);
  v.read(o.dz_other), v.read(o.z), v.read(o.y), v.read(o.affine), v.read(o.saved);
  v.write(o.sums), v.write(o.dgamma), v.write(o.dbeta);
}
template <class V>
void fields(BnBackwardApply& o, V& v) {
  v.read(o.dz), v.read(o.y), v.read(o.affine), v.read(o.saved), v.read(o.gamma), v.read(o.sums);
  v.write(o.dy);
}
template <class V>
void fields(MaxPool& o, V& v) {
  v.read(o.x), v.write(o.y), v.write(o.argmax);
}
template <class V>
void fields(MaxPoolBackward& o, V& v) {
  v.read(o.dy), v.read(o.argmax), v.write(o.dx);
}
template <class V>
void fields(GlobalAvgPool& o, V& v) {
  v.read(o.z), v.write(o.h);
}
template <class V>
void fields(GlobalAvgPoolBackward& o, V& v) {
  v.read(o.dh), v.write(o.dz);
}
template <class V>
void fields(AddInto& o, V& v) {
  v.read(o.from), v.update(o.into);
}
template <class V>
void fields(MatMul& o, V& v) {
  v.read(o.x), v.read(o.w), v.read(o.bias), v.write(o.y);
}
template <class V>
void fields(MatMulBackwardData& o, V& v) {
  v.read(o.dy), v.read(o.w), v.write(o.dx);
}
template <class V>
void fields(MatMulBackwardWeights& o, V& v) {
  v.read(o.x), v.read(o.dy), v.write(o.dw), v.write(o.dbias);
}
template <class V>
void fields(Relu& o, V& v) {
  v.read(o.y), v.write(o.z);
}
template <class V>
void fields(ReluBackward& o, V& v) {
  v.read(o.dz), v.read(o.z), v.write(o.dy);
}
template <class V>
void fields(L2Normalize& o, V& v) {
  v.read(o.z), v.write(o.u), v.write(o.inverse_norm);
}
template <class V>
void fields(L2NormalizeBackward& o, V& v) {
  v.read(o.u), v.read(o.inverse_norm), v.read(o.du), v.write(o.dz);
}
template <class V>
void fields(NtXentForward& o, V& v) {
  v.read(o.u), v.read(o.u_all), v.write(o.lse), v.write(o.sums);
}
template <class V>
void fields(NtXentBackward& o, V& v) {
  v.read(o.u), v.read(o.u_all), v.read(o.lse), v.read(o.lse_all), v.read(o.control);
  v.write(o.du);
}
template <class V>
void fields(SoftmaxCrossEntropy& o, V& v) {
  v.read(o.logits), v.read(o.labels), v.write(o.sums), v.write(o.dlogits);
}
template <class V>
void fields(TopK& o, V& v) {
  v.read(o.values), v.read(o.valid), v.write(o.best), v.write(o.columns);
}
template <class V>
void fields(AllReduce& o, V& v) {
  v.update(o.buffer);
}
template <class V>
void fields(AllGather& o, V& v) {
  v.read(o.local), v.write(o.all);
}
template <class V>
void fields(ReduceGradients& o, V& v) {
  v.update(o.gradients);
}
template <class V>
void fields(WaitForGradients& o, V& v) {
  v.update(o.gradients);
}
template <class V>
void fields(CheckFinite& o, V& v) {
  v.read(o.loss_sums), v.read(o.gradients), v.update(o.verdict);
}
template <class V>
void fields(LarsUpdate& o, V& v) {
  v.update(o.parameters), v.read(o.gradients), v.update(o.momentum), v.read(o.control);
  v.read(o.verdict);
}
template <class V>
void fields(SgdUpdate& o, V& v) {
  v.update(o.parameters), v.read(o.gradients), v.update(o.momentum), v.read(o.control);
  v.read(o.verdict);
}
template <class V>
void fields(AdamwUpdate& o, V& v) {
  v.update(o.parameters), v.read(o.gradients), v.update(o.momentum), v.update(o.second_moment);
  v.read(o.control), v.read(o.verdict);
}

template <class Map>
struct Renamer {
  Map& map;
  void read(TensorId& t) { t = map(t); }
  void read(std::optional<TensorId>& t) {
    if (t) t = map(*t);
  }
  template <class T>
  void write(T& t) {
    read(t);
  }
  template <class T>
  void update(T& t) {
    read(t);
  }
};

}  // namespace detail

template <class Map>
Op with_tensors(Op op, Map&& map) {
  detail::Renamer<Map> renamer{map};
  std::visit([&](auto& o) { detail::fields(o, renamer); }, op);
  return op;
}

}  // namespace simclr
