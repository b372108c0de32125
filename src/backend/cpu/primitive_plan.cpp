#include "primitive_plan.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace simclr::cpu {

namespace {

constexpr std::size_t kAlignment = 4096;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

using Arguments = std::unordered_map<int, dnnl::memory>;

class PrimitiveStep final : public Step {
 public:
  explicit PrimitiveStep(OneDnn& onednn) : onednn_(&onednn) {}
  void add(dnnl::primitive primitive, Arguments arguments) {
    calls_.emplace_back(std::move(primitive), std::move(arguments));
  }
  void run() override {
    for (auto& [primitive, arguments] : calls_) primitive.execute(onednn_->stream(), arguments);
  }

 private:
  OneDnn* onednn_;
  std::vector<std::pair<dnnl::primitive, Arguments>> calls_;
};

}  // namespace

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
                                    const dnnl::memory::desc& theirs) {
  add(argument, false, ours, theirs);
  return *this;
}

PrimitivePlan& PrimitivePlan::output(int argument, const dnnl::memory::desc& ours,
                                     const dnnl::memory::desc& theirs) {
  add(argument, true, ours, theirs);
  return *this;
}

void PrimitivePlan::add(int argument, bool is_output, const dnnl::memory::desc& ours,
                        const dnnl::memory::desc& theirs) {
  Operand operand{.argument = argument, .is_output = is_output, .ours = ours, .theirs = theirs};
  if (ours != theirs) {
    const auto& engine = onednn_->engine();
    const dnnl::reorder::primitive_desc conversion(engine, is_output ? theirs : ours, engine,
                                                   is_output ? ours : theirs, user_scratchpad());
    operand.conversion = dnnl::reorder(conversion);
    operand.scratchpad = conversion.scratchpad_desc();
    operand.copy_offset = copies_bytes_;
    copies_bytes_ += aligned(theirs.get_size());
    scratchpad_bytes_ = std::max(scratchpad_bytes_, aligned(operand.scratchpad.get_size()));
  }
  operands_.push_back(std::move(operand));
}

StepPointer PrimitivePlan::bind(const std::map<int, std::byte*>& data,
                                std::span<std::byte> workspace) const {
  require(workspace.size() >= workspace_bytes(), "the workspace is large enough");
  const auto& engine = onednn_->engine();
  Arguments arguments{{DNNL_ARG_SCRATCHPAD, dnnl::memory(scratchpad_, engine, workspace.data())}};
  std::vector<std::pair<dnnl::primitive, Arguments>> before;
  std::vector<std::pair<dnnl::primitive, Arguments>> after;
  for (const Operand& operand : operands_) {
    const dnnl::memory ours(operand.ours, engine, data.at(operand.argument));
    if (!operand.conversion) {
      arguments.emplace(operand.argument, ours);
      continue;
    }
    const dnnl::memory theirs(operand.theirs, engine,
                              workspace.data() + scratchpad_bytes_ + operand.copy_offset);
    arguments.emplace(operand.argument, theirs);
    (operand.is_output ? after : before)
        .emplace_back(operand.conversion,
                      Arguments{{DNNL_ARG_FROM, operand.is_output ? theirs : ours},
                                {DNNL_ARG_TO, operand.is_output ? ours : theirs},
                                {DNNL_ARG_SCRATCHPAD,
                                 dnnl::memory(operand.scratchpad, engine, workspace.data())}});
  }
  auto step = std::make_unique<PrimitiveStep>(*onednn_);
  for (auto& [primitive, its_arguments] : before) step->add(primitive, std::move(its_arguments));
  step->add(primitive_, std::move(arguments));
  for (auto& [primitive, its_arguments] : after) step->add(primitive, std::move(its_arguments));
  return step;
}

}  // namespace simclr::cpu
