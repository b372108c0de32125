#pragma once
// Runs ops and whole programs by their references, for comparison with executors.

#include <variant>

#include "reference/batch_norm.hpp"
#include "reference/communication.hpp"
#include "reference/convolution.hpp"
#include "reference/elementwise.hpp"
#include "reference/loss.hpp"
#include "reference/matmul.hpp"
#include "reference/optimizer.hpp"
#include "reference/top_k.hpp"

namespace simclr::reference {

template <class T>
void run(const Op& op, Memory<T>& memory) {
  std::visit([&](const auto& o) { reference(o, memory); }, op);
}

template <class T>
void run(Memory<T>& memory, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) run(memory.program().ops.at(i), memory);
}

}  // namespace simclr::reference
