// Every op of every backend against its reference in double, on the same inputs.

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "backend/backends.hpp"
#include "backend/op_cases.hpp"
#include "reference/run.hpp"

namespace simclr::testing {

namespace {

using ReferenceMemory = reference::Memory<double>;

/// Inputs of the op under test, as its tensors' types can hold them: filled or made by the prelude.
void prepare_inputs(const OpCase& test, ReferenceMemory& memory) {
  fill_inputs(memory, test.fills);
  reference::run(memory, 0, test.program.ops.size() - 1);
  for (const TensorId id : access(test.op()).reads) {
    for (double& value : memory[id].flat()) {
      value = rounded_to(test.program.info(id).dtype, value);
    }
  }
}

std::vector<float> as_floats(std::span<const double> values) {
  return {values.begin(), values.end()};
}

/// The tensors of one op on a backend, each in memory of its own, outputs full of NaN.
class OpOnBackend {
 public:
  OpOnBackend(const OpCase& test, Backend& backend, ReferenceMemory& inputs)
      : test_(&test), backend_(&backend) {
    const Access touched = access(test.op());
    for (const TensorId id : touched.writes) allocate(id);
    for (const TensorId id : touched.reads) {
      allocate(id);
      upload(id, inputs[id].flat());
    }
  }

  void run() {
    backend_->tune(test_->program, {});
    Prepared prepared =
        backend_->prepare({.program = &test_->program,
                           .op = test_->program.ops.size() - 1,
                           .address = [this](TensorId id) { return memory_.at(id).data(); }});
    const Buffer workspace = backend_->allocate(prepared.workspace_bytes);
    backend_->poison({workspace.data(), workspace.bytes()});
    backend_->make_runner({std::move(prepared)}, {"the op"}, {workspace.data(), workspace.bytes()})
        ->run(0, 1);
  }

  [[nodiscard]] std::vector<float> values(TensorId id) {
    std::vector<float> values(static_cast<std::size_t>(info(id).shape.elements()));
    backend_->download(info(id), memory_.at(id).data(), buffer_span(std::span(values)));
    return values;
  }
  [[nodiscard]] std::span<const std::byte> stored(TensorId id) const {
    return {memory_.at(id).data(), memory_.at(id).bytes()};
  }
  [[nodiscard]] const TensorInfo& info(TensorId id) const { return test_->program.info(id); }

 private:
  void allocate(TensorId id) {
    if (memory_.contains(id)) return;
    Buffer buffer = backend_->allocate(backend_->storage_bytes(info(id)));
    backend_->poison({buffer.data(), buffer.bytes()});
    memory_[id] = std::move(buffer);
  }

  void upload(TensorId id, std::span<const double> values) {
    const std::vector<float> floats = as_floats(values);
    backend_->upload(info(id), memory_[id].data(),
                     info(id).dtype == DType::f64 ? const_buffer_span(values)
                                                  : const_buffer_span(std::span(floats)));
  }

  const OpCase* test_;
  Backend* backend_;
  std::map<TensorId, Buffer> memory_;
};

void expect_near(std::span<const float> got, std::span<const double> wanted, Tolerance tolerance,
                 const std::string& name) {
  ASSERT_EQ(got.size(), wanted.size());
  double squares = 0;
  for (const double value : wanted) squares += std::isinf(value) ? 0 : value * value;
  const double rms = std::sqrt(squares / static_cast<double>(wanted.size()));
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isinf(wanted[i])) {
      ASSERT_EQ(got[i], wanted[i]) << name << "[" << i << "]";
      continue;
    }
    const double error = std::abs(got[i] - wanted[i]);
    const double allowed = tolerance.relative * std::abs(wanted[i]) + tolerance.absolute * rms;
    ASSERT_LE(error, allowed) << name << "[" << i << "]: got " << got[i] << ", wanted "
                              << wanted[i];
  }
}

using Parameter = std::tuple<std::size_t, std::size_t, DType>;  // backend, case, activations

class Parity : public ::testing::TestWithParam<Parameter> {};

TEST_P(Parity, EqualsReference) {
  const auto [backend_index, case_index, activation] = GetParam();
  const BackendUnderTest& under_test = backends_under_test()[backend_index];
  const std::string reason = under_test.why_skip(activation);
  if (!reason.empty()) GTEST_SKIP() << reason;
  const OpCase test = op_cases()[case_index].make(activation);
  ReferenceMemory wanted(test.program);
  prepare_inputs(test, wanted);

  const auto backend = under_test.make();
  OpOnBackend on_backend(test, *backend, wanted);
  on_backend.run();
  reference::run(test.op(), wanted);

  for (const TensorId id : access(test.op()).writes) {
    const TensorInfo& info = test.program.info(id);
    const auto own = test.tolerances.find(id);
    expect_near(on_backend.values(id), wanted[id].flat(),
                own != test.tolerances.end() ? own->second : default_tolerance(info.dtype),
                info.name);
    under_test.check_stored(info, on_backend.stored(id));
  }
}

std::vector<Parameter> parameters() {
  std::vector<Parameter> all;
  for (std::size_t b = 0; b < backends_under_test().size(); ++b) {
    for (std::size_t c = 0; c < op_cases().size(); ++c) {
      for (const DType activation : backends_under_test()[b].activations) {
        if (activation != DType::f32 && !op_cases()[c].mixed_precision) continue;
        all.emplace_back(b, c, activation);
      }
    }
  }
  return all;
}

std::string name_of_parameter(const ::testing::TestParamInfo<Parameter>& info) {
  const auto [backend, op_case, activation] = info.param;
  return backends_under_test()[backend].name + "_" + op_cases()[op_case].name + "_" +
         std::string(name_of(activation));
}

INSTANTIATE_TEST_SUITE_P(Ops, Parity, ::testing::ValuesIn(parameters()), name_of_parameter);

}  // namespace

}  // namespace simclr::testing
