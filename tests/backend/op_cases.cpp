#include "backend/op_cases.hpp"

#include <cmath>
#include <iterator>
#include <set>

#include "simclr/core/bf16.hpp"
#include "simclr/core/f16.hpp"

namespace simclr::testing {

namespace {

/// Uniform in [0, 1): a hash (splitmix64) of name and index.
double random_of(const std::string& name, std::int64_t index) {
  std::uint64_t x = 0x9E3779B97F4A7C15ULL * static_cast<std::uint64_t>(index + 1);
  for (const char c : name) x = (x ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

std::set<TensorId> tensors_to_fill(const Program& program) {
  std::set<TensorId> written;
  std::set<TensorId> fill;
  for (const Op& op : program.ops) {
    const Access touched = access(op);
    for (const TensorId id : touched.reads) {
      if (!written.contains(id)) fill.insert(id);
    }
    written.insert(touched.writes.begin(), touched.writes.end());
  }
  return fill;
}

template <class T>
void append(std::vector<T>& all, std::vector<T> more) {
  all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

Fill uniform(double low, double high) {
  return [=](std::int64_t, double random) { return low + (high - low) * random; };
}

Fill whole_numbers(int low, int high) {
  return [=](std::int64_t, double random) {
    return std::floor(low + (static_cast<double>(high) - low + 1) * random);
  };
}

Tolerance default_tolerance(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return {.relative = 0x1p-8, .absolute = 1e-3};
    case DType::f16:
      return {.relative = 0x1p-10, .absolute = 2e-4};
    case DType::f32:
    case DType::f64:
      return {.relative = 5e-6, .absolute = 5e-6};
    case DType::i32:
    case DType::u8:
      break;
  }
  return {};
}

TensorId CaseBuilder::tensor(const std::string& name, Shape shape, DType dtype, Storage storage) {
  TensorInfo info{.name = name, .shape = shape, .dtype = dtype, .storage = storage};
  if (is_flat(storage)) {
    info.offset = flat_end_[storage];
    flat_end_[storage] += shape.elements();
    auto& program = case_.program;
    if (storage == Storage::running) {
      program.running_elements = flat_end_[storage];
    } else {
      program.parameter_elements = program.trained_elements = flat_end_[storage];
    }
  }
  case_.program.tensors.push_back(info);
  return TensorId{static_cast<std::int32_t>(case_.program.tensors.size()) - 1};
}

CaseBuilder& CaseBuilder::fill(TensorId id, Fill fill) {
  case_.fills[id] = std::move(fill);
  return *this;
}

CaseBuilder& CaseBuilder::tolerance(TensorId id, Tolerance tolerance) {
  case_.tolerances[id] = tolerance;
  return *this;
}

CaseBuilder& CaseBuilder::emit(const Op& op) {
  auto& program = case_.program;
  program.ops.push_back(op);
  program.labels.emplace_back("case");
  program.backward_begin = program.update_begin = program.ops.size();
  return *this;
}

CaseEntry activation_case(const std::string& name, std::function<void(CaseBuilder&)> record) {
  return {.name = name,
          .make =
              [record = std::move(record)](DType activation) {
                CaseBuilder builder(activation);
                record(builder);
                return builder.build();
              },
          .mixed_precision = true};
}

double rounded_to(DType dtype, double value) {
  switch (dtype) {
    case DType::bf16:
      return to_float(to_bf16(static_cast<float>(value)));
    case DType::f16:
      return to_float(to_f16(static_cast<float>(value)));
    case DType::f32:
      return static_cast<float>(value);
    default:
      return value;
  }
}

template <class T>
void fill_inputs(reference::Memory<T>& memory, const std::map<TensorId, Fill>& fills) {
  for (const TensorId id : tensors_to_fill(memory.program())) {
    const TensorInfo& info = memory.program().info(id);
    const auto found = fills.find(id);
    const Fill fill = found != fills.end() ? found->second : uniform(-1, 1);
    std::int64_t index = 0;
    for (T& value : memory[id].flat()) {
      value = T(rounded_to(info.dtype, fill(index, random_of(info.name, index))));
      ++index;
    }
  }
}
template void fill_inputs(reference::Memory<double>&, const std::map<TensorId, Fill>&);
template void fill_inputs(reference::Memory<std::complex<double>>&,
                          const std::map<TensorId, Fill>&);

std::function<std::complex<double>(reference::Memory<std::complex<double>>&)> inner_product(
    TensorId output, TensorId incoming) {
  return [=](reference::Memory<std::complex<double>>& memory) {
    const auto outputs = memory[output].flat();
    const auto weights = memory[incoming].flat();
    std::complex<double> sum = 0;
    for (std::size_t i = 0; i < outputs.size(); ++i) sum += outputs[i] * weights[i];
    return sum;
  };
}

const std::vector<CaseEntry>& op_cases() {
  static const std::vector<CaseEntry> table = [] {
    std::vector<CaseEntry> all;
    append(all, convolution_cases());
    append(all, matmul_cases());
    append(all, batch_norm_cases());
    append(all, elementwise_cases());
    append(all, pooling_cases());
    append(all, loss_cases());
    append(all, optimizer_cases());
    append(all, top_k_cases());
    return all;
  }();
  return table;
}

const std::vector<GradientCase>& gradient_cases() {
  static const std::vector<GradientCase> table = [] {
    std::vector<GradientCase> all;
    append(all, convolution_gradient_cases());
    append(all, matmul_gradient_cases());
    append(all, batch_norm_gradient_cases());
    append(all, elementwise_gradient_cases());
    append(all, pooling_gradient_cases());
    append(all, loss_gradient_cases());
    return all;
  }();
  return table;
}

}  // namespace simclr::testing
