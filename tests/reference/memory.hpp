#pragma once
// The tensors of a program in canonical layout with a given scalar type, for the references of the
// ops.
//
// A reference defines its op and is written as simply as possible:
//   template <class T> void reference(const AnOp& op, Memory<T>& memory);
// T is double, float or std::complex<double>. A complex number x + ih with a tiny h carries the
// derivative along h through every analytic function (complex step). References therefore must not
// conjugate or take absolute values of complex numbers, and must compare only real parts.

#include <complex>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/program/program.hpp"

namespace simclr::reference {

inline double real_part(double value) { return value; }
inline double real_part(float value) { return value; }
inline double real_part(const std::complex<double>& value) { return value.real(); }

/// Elements of a tensor, addressed by up to four indices in its shape's order.
template <class T>
class Values {
 public:
  Values(std::span<T> elements, Shape shape) : elements_(elements), shape_(shape) {}

  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t extent(int dimension) const { return shape_[dimension]; }
  [[nodiscard]] std::span<T> flat() const { return elements_; }

  /// Throws when an index is out of range.
  template <class... Indices>
  [[nodiscard]] T& operator()(Indices... indices) const {
    require(sizeof...(indices) == static_cast<std::size_t>(shape_.rank()),
            "there must be one index per dimension");
    std::int64_t offset = 0;
    int dimension = 0;
    for (const std::int64_t index : {static_cast<std::int64_t>(indices)...}) {
      const std::int64_t extent = shape_[dimension++];
      require(index >= 0 && index < extent, "the index must be within the tensor");
      offset = offset * extent + index;
    }
    return elements_[static_cast<std::size_t>(offset)];
  }

 private:
  std::span<T> elements_;
  Shape shape_;
};

/// All tensors of a program, initially NaN. Tensors in flat buffers are slices of them, possibly
/// with gaps in between.
template <class T>
class Memory {
 public:
  explicit Memory(const Program& program) : program_(&program) {
    const T nan(std::numeric_limits<double>::quiet_NaN());
    for (std::size_t t = 0; t < program.tensors.size(); ++t) {
      const TensorInfo& info = program.tensors[t];
      const auto count = static_cast<std::size_t>(info.shape.elements());
      if (is_flat(info.storage)) {
        const std::int64_t whole = program.flat_elements(info.storage);
        flat_[info.storage].assign(static_cast<std::size_t>(whole), nan);
      } else {
        own_[TensorId{static_cast<std::int32_t>(t)}].assign(count, nan);
      }
    }
  }

  [[nodiscard]] const Program& program() const { return *program_; }

  [[nodiscard]] Values<T> operator[](TensorId id) {
    const TensorInfo& info = program_->info(id);
    if (!is_flat(info.storage)) return {own_.at(id), info.shape};
    const std::span<T> all(flat_.at(info.storage));
    return {all.subspan(static_cast<std::size_t>(info.offset),
                        static_cast<std::size_t>(info.shape.elements())),
            info.shape};
  }

  /// A whole flat buffer: parameters, gradients, ...
  [[nodiscard]] std::vector<T>& flat(Storage storage) { return flat_.at(storage); }

 private:
  const Program* program_;
  std::map<Storage, std::vector<T>> flat_;
  std::map<TensorId, std::vector<T>> own_;
};

}  // namespace simclr::reference
