#pragma once

namespace simclr {

/// Builds one visitor for std::visit out of several lambdas.
template <class... F>
struct overload : F... {
  using F::operator()...;
};
template <class... F>
overload(F...) -> overload<F...>;

}  // namespace simclr
