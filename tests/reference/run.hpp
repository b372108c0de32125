#pragma once
// Every op's reference, and whole programs by them: an executor to compare executors with.

#include <variant>

#include "reference/communication.hpp"
#include "reference/convolution.hpp"
#include "reference/matmul.hpp"

namespace simclr::reference {

/// Ops whose reference is not written.
template <class T, class AnyOp>
void reference(const AnyOp& op, Memory<T>& /*memory*/) {
  fail("no reference for {}", verb(Op{op}));
}

template <class T>
void run(const Op& op, Memory<T>& memory) {
  std::visit([&](const auto& o) { reference(o, memory); }, op);
}

template <class T>
void run(Memory<T>& memory, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) run(memory.program().ops.at(i), memory);
}

}  // namespace simclr::reference
