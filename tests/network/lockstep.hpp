#pragma once
// Compares a backend with a reference that runs the same program, op by op. Both get the same
// inputs at every op, so a difference is due to that op and not to earlier ones.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "reference/run.hpp"
#include "step.hpp"

namespace simclr::test {

/// Returns a tensor of an executor in double, whatever its type.
inline std::vector<double> wide_values(const Executor& executor, TensorId tensor) {
  const TensorInfo& info = executor.program().info(tensor);
  const auto count = static_cast<std::size_t>(info.shape.elements());
  if (info.dtype == DType::f64) {
    std::vector<double> values(count, std::numeric_limits<double>::quiet_NaN());
    executor.download(tensor, buffer_span(std::span(values)));
    return values;
  }
  if (info.dtype == DType::u8) {
    std::vector<std::uint8_t> values(count);
    executor.download(tensor, buffer_span(std::span(values)));
    return {values.begin(), values.end()};
  }
  const std::vector<float> values = executor.values(tensor);
  return {values.begin(), values.end()};
}

/// The reference that a backend is compared with. It runs the same program, possibly with
/// activations of another type.
class Reference {
 public:
  Reference() = default;
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;
  virtual ~Reference() = default;
  [[nodiscard]] virtual const Program& program() const = 0;
  virtual void run(std::size_t op) = 0;
  virtual std::vector<double> values(TensorId tensor) = 0;
  virtual void set(TensorId tensor, const std::vector<double>& values) = 0;
};

/// Runs the definitions of the ops in double.
class ScalarReference final : public Reference {
 public:
  explicit ScalarReference(Program program) : program_(std::move(program)), memory_(program_) {}
  [[nodiscard]] const Program& program() const override { return program_; }
  void run(std::size_t op) override { reference::run(program_.ops.at(op), memory_); }
  std::vector<double> values(TensorId tensor) override {
    const auto flat = memory_[tensor].flat();
    return {flat.begin(), flat.end()};
  }
  void set(TensorId tensor, const std::vector<double>& values) override {
    std::copy(values.begin(), values.end(), memory_[tensor].flat().begin());
  }

 private:
  Program program_;
  reference::Memory<double> memory_;
};

/// Runs another backend.
class BackendReference final : public Reference {
 public:
  BackendReference(Program program, std::unique_ptr<Backend> backend)
      : backend_(std::move(backend)), executor_(std::move(program), *backend_, {}) {}
  [[nodiscard]] const Program& program() const override { return executor_.program(); }
  void run(std::size_t op) override { executor_.run(op, op + 1); }
  std::vector<double> values(TensorId tensor) override { return wide_values(executor_, tensor); }
  void set(TensorId tensor, const std::vector<double>& values) override {
    switch (program().info(tensor).dtype) {
      case DType::f64:
        return executor_.upload(tensor, const_buffer_span(std::span(values)));
      case DType::u8:
        return upload<std::uint8_t>(tensor, values);
      default:
        return upload<float>(tensor, values);
    }
  }

 private:
  template <class T>
  void upload(TensorId tensor, const std::vector<double>& values) {
    std::vector<T> narrow(values.size());
    std::ranges::transform(values, narrow.begin(), [](double v) { return static_cast<T>(v); });
    executor_.upload(tensor, const_buffer_span(std::span<const T>(narrow)));
  }

  std::unique_ptr<Backend> backend_;
  Executor executor_;
};

class Lockstep {
 public:
  Lockstep(const PretrainingSpec& spec, Backend& backend, Reference& reference,
           float loss_scale = 1)
      : executor_(record_pretraining(spec), backend, {}), reference_(&reference) {
    set_state(executor_, loss_scale);
    const Program& program = executor_.program();
    require(reference.program().tensors.size() == program.tensors.size() &&
                reference.program().ops.size() == program.ops.size(),
            "both sides must run the same program");
    for (std::size_t t = 0; t < program.tensors.size(); ++t) {
      if (program.tensors[t].storage == Storage::arena) continue;
      copy_to_reference(TensorId{static_cast<std::int32_t>(t)});
    }
  }

  /// Runs all ops and checks the relative difference of their outputs: rms of the difference over
  /// rms of the value.
  void run(double tolerance) {
    const Program& program = executor_.program();
    for (std::size_t op = 0; op < program.ops.size(); ++op) {
      ASSERT_EQ(describe(program, op), describe(reference_->program(), op));
      executor_.run(op, op + 1);
      reference_->run(op);
      for (const TensorId written : access(program.ops[op]).writes) {
        const std::vector<double> got = wide_values(executor_, written);
        const std::vector<double> wanted = reference_->values(written);
        const std::string name = describe(program, op) + " '" + program.info(written).name + "'";
        if (program.info(written).dtype == DType::u8) {
          EXPECT_TRUE(got == wanted) << name;
        } else {
          const double error = relative_error(got, wanted);
          EXPECT_TRUE(error <= tolerance) << name << ": " << error;
        }
        reference_->set(written, got);
      }
    }
  }

 private:
  static double relative_error(const std::vector<double>& got, const std::vector<double>& wanted) {
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      difference += (got[i] - wanted.at(i)) * (got[i] - wanted[i]);
      size += wanted[i] * wanted[i];
    }
    return std::sqrt(difference / std::max(size, 1e-30));
  }

  void copy_to_reference(TensorId tensor) {
    reference_->set(tensor, wide_values(executor_, tensor));
  }

  Executor executor_;
  Reference* reference_;
};

}  // namespace simclr::test
