#pragma once
// From a tensor's run-time type to the kernels' template argument.

#include "simclr/core/check.hpp"
#include "simclr/tensor/dtype.hpp"

namespace simclr::cuda {

/// Calls f(T{}) with T = float, bf16 or f16: what activations may be.
template <class F>
decltype(auto) with_activation_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::bf16:
      return f(bf16{});
    case DType::f16:
      return f(f16{});
    case DType::f64:
    case DType::i32:
    case DType::u8:
      break;
  }
  fail("activations cannot be {}", name_of(dtype));
}

}  // namespace simclr::cuda
