#include "onednn.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <type_traits>
#include <utility>

#include "simclr/core/check.hpp"

namespace simclr::cpu {
namespace {

constexpr std::size_t kAlignment = 4096;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

std::string OneDnn::version() {
  const dnnl_version_t* v = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
}

dnnl::memory::data_type data_type_of(DType dtype) {
  return for_activation_type(dtype, []<class T>(T) {
    return std::is_same_v<T, bf16> ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
  });
}

dnnl::memory::desc activation_desc(const Layout& layout) {
  using Tag = dnnl::memory::format_tag;
  const Tag tag = layout.kind == Layout::Kind::blocked  ? Tag::nChw16c
                  : layout.kind == Layout::Kind::planar ? Tag::nchw
                                                        : Tag::nhwc;
  return {{layout.images, layout.channels, layout.height, layout.width},
          data_type_of(layout.dtype),
          tag};
}

void multiply_matrices(Form form_a, const Matrix& a, Form form_b, const Matrix& b, const Matrix& c,
                       bool accumulate) {
  const std::int64_t inner = form_a == Form::plain ? a.columns : a.rows;
  const dnnl::status status = dnnl::sgemm(static_cast<char>(form_a), static_cast<char>(form_b),
                                          c.rows, c.columns, inner, 1.0F, a.data, a.stride, b.data,
                                          b.stride, accumulate ? 1.0F : 0.0F, c.data, c.stride);
  require(status == dnnl::status::success, "matrix product");
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

PrimitivePlan::PrimitivePlan(OneDnn& onednn, dnnl::primitive primitive,
                             const dnnl::memory::desc& scratchpad)
    : onednn_(&onednn),
      primitive_(std::move(primitive)),
      scratchpad_(scratchpad),
      scratchpad_bytes_(aligned(scratchpad.get_size())) {}

PrimitivePlan& PrimitivePlan::input(int argument, const dnnl::memory::desc& ours,
                                    const dnnl::memory::desc& theirs, std::byte* data) {
  add({.argument = argument, .is_output = false, .ours = ours, .theirs = theirs, .data = data});
  return *this;
}

PrimitivePlan& PrimitivePlan::output(int argument, const dnnl::memory::desc& ours,
                                     const dnnl::memory::desc& theirs, std::byte* data) {
  add({.argument = argument, .is_output = true, .ours = ours, .theirs = theirs, .data = data});
  return *this;
}

void PrimitivePlan::add(Operand operand) {
  if (operand.ours != operand.theirs) {
    const auto& engine = onednn_->engine;
    const auto& from = operand.is_output ? operand.theirs : operand.ours;
    const auto& to = operand.is_output ? operand.ours : operand.theirs;
    const dnnl::reorder::primitive_desc conversion(engine, from, engine, to, user_scratchpad());
    operand.conversion = dnnl::reorder(conversion);
    operand.scratchpad = conversion.scratchpad_desc();
    operand.copy_offset = copies_bytes_;
    copies_bytes_ += aligned(operand.theirs.get_size());
    scratchpad_bytes_ = std::max(scratchpad_bytes_, aligned(operand.scratchpad.get_size()));
  }
  operands_.push_back(std::move(operand));
}

PrimitivePlan::Calls PrimitivePlan::calls(Workspace workspace) const {
  require(workspace.size() >= workspace_bytes(), "the workspace is large enough");
  const auto& engine = onednn_->engine;
  std::unordered_map<int, dnnl::memory> arguments{
      {DNNL_ARG_SCRATCHPAD, dnnl::memory(scratchpad_, engine, workspace.data())}};
  Calls calls;
  Calls after;
  for (const Operand& operand : operands_) {
    const dnnl::memory ours(operand.ours, engine, operand.data);
    if (!operand.conversion) {
      arguments.emplace(operand.argument, ours);
      continue;
    }
    const dnnl::memory theirs(operand.theirs, engine,
                              workspace.data() + scratchpad_bytes_ + operand.copy_offset);
    const dnnl::memory scratchpad(operand.scratchpad, engine, workspace.data());
    arguments.emplace(operand.argument, theirs);
    (operand.is_output ? after : calls)
        .push_back({operand.conversion,
                    {{DNNL_ARG_FROM, operand.is_output ? theirs : ours},
                     {DNNL_ARG_TO, operand.is_output ? ours : theirs},
                     {DNNL_ARG_SCRATCHPAD, scratchpad}}});
  }
  calls.emplace_back(primitive_, std::move(arguments));
  std::ranges::move(after, std::back_inserter(calls));
  return calls;
}

Prepared PrimitivePlan::prepared() const {
  return make_step(workspace_bytes(), [plan = *this, calls = Calls()](Workspace workspace) mutable {
    if (calls.empty()) calls = plan.calls(workspace);
    for (auto& [primitive, arguments] : calls) {
      primitive.execute(plan.onednn_->stream, arguments);
    }
  });
}

}  // namespace simclr::cpu
