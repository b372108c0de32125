#include "simclr/program/recorder.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

/// Slices of the flat buffers start at whole cache lines, so that buckets and kernels are aligned.
constexpr std::int64_t kFlatAlignmentElements = 16;

std::int64_t aligned(std::int64_t elements) {
  return (elements + kFlatAlignmentElements - 1) / kFlatAlignmentElements * kFlatAlignmentElements;
}

bool is_statistics(const Op& op) {
  return std::holds_alternative<BnStatistics>(op) || std::holds_alternative<AllReduce>(op) ||
         std::holds_alternative<BnFinalize>(op);
}

bool contains(const std::vector<TensorId>& ids, TensorId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

/// Puts the recomputed twin of a tensor in its place, where it has one, in all fields of an op.
struct TwinReplacer {
  const std::map<TensorId, TensorId>& twins;

  void replace(TensorId& tensor) const {
    const auto twin = twins.find(tensor);
    if (twin != twins.end()) tensor = twin->second;
  }
  void replace(std::optional<TensorId>& tensor) const {
    if (tensor) replace(*tensor);
  }
  void reads(auto&... tensors) const { (replace(tensors), ...); }
  void writes(auto&... tensors) const { (replace(tensors), ...); }
  void updates(auto&... tensors) const { (replace(tensors), ...); }
};

}  // namespace

// ---- tensors ------------------------------------------------------------------------------------

TensorId Recorder::tensor(std::string name, Shape shape, DType dtype, Storage storage) {
  program_.tensors.push_back({std::move(name), shape, dtype, storage, 0});
  return {static_cast<std::int32_t>(program_.tensors.size()) - 1};
}

TensorId Recorder::named(std::string name, Shape shape, DType dtype, Storage storage) {
  const TensorId id = tensor(name, shape, dtype, storage);
  publish(std::move(name), id);
  return id;
}

void Recorder::publish(std::string name, TensorId id) {
  const bool is_new = program_.named.emplace(std::move(name), id).second;
  require(is_new, "a program's named tensors have distinct names");
}

TensorId Recorder::parameter(std::string name, Shape shape, InitialValue initial,
                             bool regularized) {
  name = prefix_ + name;
  const TensorId value = tensor(name, shape, DType::f32, Storage::parameters);
  TensorId gradient;
  if (gradients_enabled_) {
    gradient = tensor("d." + name, shape, DType::f32, Storage::gradients);
    parameter_gradients_[value] = gradient;
    needs_gradient_.insert(value);
  }
  program_.parameters.push_back({std::move(name), part_, value, gradient, regularized, initial});
  return value;
}

TensorId Recorder::running(std::string name, std::int64_t channels, float initial) {
  const TensorId id = tensor(name, {channels}, DType::f32, Storage::running);
  program_.running.push_back({prefix_ + name, part_, id, initial});
  return id;
}

TensorId Recorder::flat(Storage storage) {
  require(is_flat(storage), "only flat buffers can be named as a whole");
  const auto found = flat_.find(storage);
  if (found != flat_.end()) return found->second;
  return flat_[storage] =
             tensor("flat buffer", {program_.flat_elements(storage)}, DType::f32, storage);
}

const TensorInfo& Recorder::info(TensorId id) const { return program_.info(id); }

std::vector<ParameterSegment> Recorder::segments(Segments of) const {
  std::vector<ParameterSegment> result;
  for (const Parameter& parameter : program_.parameters) {
    const bool is_probe = parameter.part == Part::probe;
    if (!parameter.trained() || is_probe != (of == Segments::probe)) continue;
    const TensorInfo& value = info(parameter.value);
    result.push_back({value.offset, value.shape.elements(), parameter.regularized});
  }
  std::ranges::sort(result, {}, &ParameterSegment::offset);
  return result;
}

// ---- ops ----------------------------------------------------------------------------------------

Recorder::TeacherScope::TeacherScope(Recorder& recorder)
    : recorder_(recorder), part_(recorder, Part::teacher), frozen_(recorder) {
  require(recorder.prefix_.empty(), "a program has one teacher");
  recorder.prefix_ = kTeacherPrefix;
}
Recorder::TeacherScope::~TeacherScope() { recorder_.prefix_.clear(); }

Recorder::PartScope::PartScope(Recorder& recorder, Part part)
    : recorder_(recorder), outer_(recorder.part_) {
  if (recorder.prefix_.empty()) recorder.part_ = part;
}

Recorder::Scope::Scope(Recorder& recorder, const std::string& name)
    : recorder_(recorder), outer_(recorder.scope_) {
  recorder_.scope_ = outer_.empty() ? name : outer_ + "." + name;
}
Recorder::Scope::~Scope() { recorder_.scope_ = outer_; }

void Recorder::emit(Op op) {
  const TwinReplacer replacer{recomputed_};
  std::visit([&](auto& o) { o.fields(o, replacer); }, op);
  const Access accessed = access(op);
  if (std::ranges::any_of(accessed.reads, [this](TensorId id) { return needs_gradient(id); })) {
    needs_gradient_.insert(accessed.writes.begin(), accessed.writes.end());
  }
  program_.ops.push_back(std::move(op));
  program_.labels.push_back(scope_);
}

// ---- gradients ----------------------------------------------------------------------------------

void Recorder::on_backward(Block block) {
  if (gradients_enabled_) backward_.push_back({std::move(block), scope_});
}

TensorId Recorder::parameter_gradient(TensorId parameter) const {
  const auto found = parameter_gradients_.find(parameter);
  require(found != parameter_gradients_.end(), "the tensor is a parameter with a gradient");
  return found->second;
}

TensorId Recorder::contribute(TensorId of) {
  const TensorInfo like = info(of);
  const TensorId id = tensor("d." + like.name, like.shape, like.dtype);
  contribute(of, id);
  return id;
}

void Recorder::contribute(TensorId of, TensorId gradient) {
  contributions_[of].push_back(gradient);
}

const std::vector<TensorId>& Recorder::contributions(TensorId of) const {
  const auto found = contributions_.find(of);
  require(found != contributions_.end(), "a tensor's consumers have written its gradient");
  return found->second;
}

TensorId Recorder::gradient(TensorId of) {
  const std::vector<TensorId> parts = contributions(of);
  for (std::size_t i = 1; i < parts.size(); ++i) emit(AddInto{parts[i], parts[0]});
  return parts[0];
}

// ---- recomputation ------------------------------------------------------------------------------

void Recorder::begin_recomputed_block() {
  require(!open_block_, "recomputed blocks do not nest");
  open_block_ = program_.ops.size();
}

void Recorder::end_recomputed_block(TensorId output) {
  require(open_block_.has_value(), "a recomputed block was begun");
  const RecomputedBlock block{*open_block_, program_.ops.size(), output};
  open_block_.reset();
  on_backward([block](Recorder& recorder) { recorder.record_again(block); });
}

void Recorder::record_again(const RecomputedBlock& block) {
  const Scope scope(*this, "recompute");
  for (std::size_t i = block.begin; i < block.end; ++i) {
    const Op op = program_.ops[i];
    const Access accessed = access(op);
    if (is_statistics(op) || contains(accessed.writes, block.output)) continue;
    for (const TensorId written : accessed.writes) {
      const TensorInfo like = info(written);
      recomputed_[written] = tensor(like.name + " again", like.shape, like.dtype);
    }
    emit(op);
  }
}

// ---- finish -------------------------------------------------------------------------------------

void Recorder::lay_out_flat_buffers() {
  std::int64_t offset = 0;
  const auto lay_out = [&](const Parameter& p) {
    auto& value = program_.tensors[static_cast<std::size_t>(p.value.value)];
    value.offset = offset;
    if (p.trained()) {
      program_.tensors[static_cast<std::size_t>(p.gradient.value)].offset = offset;
    }
    offset += aligned(value.shape.elements());
  };
  const auto lay_out_all = [&](const auto& belongs) {
    for (const Parameter& p : std::views::reverse(program_.parameters)) {
      if (belongs(p)) lay_out(p);
    }
  };
  lay_out_all([](const Parameter& p) { return p.trained() && p.part != Part::probe; });
  lay_out_all([](const Parameter& p) { return p.trained() && p.part == Part::probe; });
  program_.trained_elements = offset;
  lay_out_all([](const Parameter& p) { return !p.trained(); });
  program_.parameter_elements = offset;

  offset = 0;
  for (const RunningStatistic& statistic : program_.running) {
    auto& value = program_.tensors[static_cast<std::size_t>(statistic.value.value)];
    value.offset = offset;
    offset += aligned(value.shape.elements());
  }
  program_.running_elements = offset;
}

Program Recorder::finish(const std::function<void(Recorder&)>& update) {
  program_.backward_begin = program_.ops.size();
  while (!backward_.empty()) {
    const BackwardBlock next = std::move(backward_.back());
    backward_.pop_back();
    scope_ = next.scope;
    next.block(*this);
  }
  scope_.clear();
  recomputed_.clear();
  require(flat_.empty(), "whole flat buffers are named by the update only");
  lay_out_flat_buffers();
  program_.update_begin = program_.ops.size();
  if (update) {
    const Scope scope(*this, "update");
    update(*this);
  }
  return std::exchange(program_, {});
}

}  // namespace simclr
