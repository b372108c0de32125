#pragma once
// The one table of op cases: small odd shapes of every op. It drives parity (each backend against
// the references) and names what is covered; gradient cases check the references themselves.

#include <complex>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "reference/memory.hpp"
#include "simclr/program/program.hpp"

namespace simclr::testing {

/// The value of element `index` of a tensor; `random` is uniform in [0, 1), a function of the
/// tensor's name and the index.
using Fill = std::function<double(std::int64_t index, double random)>;
Fill uniform(double low, double high);
/// Whole numbers in [low, high].
Fill whole_numbers(int low, int high);

/// |got - wanted| <= relative * |wanted| + absolute * rms(wanted).
struct Tolerance {
  double relative = 0;
  double absolute = 0;
};
/// What storing and f32 arithmetic allow for a tensor of this type.
Tolerance default_tolerance(DType dtype);

/// The last op of `program` is under test. Those before it are its prelude: they make its inputs,
/// by their references. Tensors that nothing writes, and those updated in place, are filled.
struct OpCase {
  Program program;
  std::map<TensorId, Fill> fills;  ///< uniform in (-1, 1) where none is given
  std::map<TensorId, Tolerance> tolerances;

  [[nodiscard]] const Op& op() const { return program.ops.back(); }
};

/// Builds an OpCase.
class CaseBuilder {
 public:
  explicit CaseBuilder(DType activation) : activation_(activation) {}

  /// The type of activations in this instance of the case: f32 or bf16.
  [[nodiscard]] DType activation() const { return activation_; }
  TensorId tensor(const std::string& name, Shape shape, DType dtype,
                  Storage storage = Storage::arena);
  TensorId activation(const std::string& name, Shape shape) {
    return tensor(name, shape, activation_);
  }
  TensorId parameter(const std::string& name, Shape shape) {
    return tensor(name, shape, DType::f32, Storage::parameters);
  }
  TensorId gradient(const std::string& name, Shape shape) {
    return tensor(name, shape, DType::f32, Storage::gradients);
  }
  CaseBuilder& fill(TensorId id, Fill fill);
  CaseBuilder& tolerance(TensorId id, Tolerance tolerance);
  CaseBuilder& emit(const Op& op);
  [[nodiscard]] OpCase build() const { return case_; }

 private:
  DType activation_;
  OpCase case_;
  std::map<Storage, std::int64_t> flat_end_;
};

struct CaseEntry {
  std::string name;  ///< letters, digits and underscores
  std::function<OpCase(DType activation)> make;
  bool mixed_precision = false;  ///< also with bf16 activations
};
/// A case that `record` emits, with f32 and bf16 activations.
CaseEntry activation_case(const std::string& name, std::function<void(CaseBuilder&)> record);

/// The table.
const std::vector<CaseEntry>& op_cases();

/// Forward ops [0, backward_begin) and the backward ops under test, [backward_begin, end).
struct GradientCase {
  using Complex = std::complex<double>;

  std::string name;
  Program program;
  std::map<TensorId, Fill> fills;
  /// (input, tensor that holds the objective's gradient with respect to it).
  std::vector<std::pair<TensorId, TensorId>> gradients;
  /// A scalar of the forward ops' outputs; the backward ops' incoming gradients belong to it.
  std::function<Complex(reference::Memory<Complex>&)> objective;
};
const std::vector<GradientCase>& gradient_cases();

/// sum over elements of output * incoming: the objective whose gradient at `output` is `incoming`.
std::function<std::complex<double>(reference::Memory<std::complex<double>>&)> inner_product(
    TensorId output, TensorId incoming);

/// Fills every tensor that no op of [0, end) writes before it is read. The values are rounded to
/// the tensors' types.
template <class T>
void fill_inputs(reference::Memory<T>& memory, const std::map<TensorId, Fill>& fills);
/// Rounds a value to what a tensor of this type can hold.
double rounded_to(DType dtype, double value);

// The parts of the table, one file each.
std::vector<CaseEntry> convolution_cases();
std::vector<CaseEntry> matmul_cases();
std::vector<CaseEntry> batch_norm_cases();
std::vector<CaseEntry> elementwise_cases();
std::vector<CaseEntry> pooling_cases();
std::vector<CaseEntry> loss_cases();
std::vector<CaseEntry> optimizer_cases();
std::vector<CaseEntry> top_k_cases();
std::vector<GradientCase> convolution_gradient_cases();
std::vector<GradientCase> matmul_gradient_cases();
std::vector<GradientCase> batch_norm_gradient_cases();
std::vector<GradientCase> elementwise_gradient_cases();
std::vector<GradientCase> pooling_gradient_cases();
std::vector<GradientCase> loss_gradient_cases();

}  // namespace simclr::testing
