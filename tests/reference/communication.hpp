#pragma once
// Communication of a single rank.

#include <algorithm>

#include "reference/memory.hpp"

namespace simclr::reference {

template <class T>
void reference(const AllReduce& /*op*/, Memory<T>& /*memory*/) {}

template <class T>
void reference(const AllGather& op, Memory<T>& memory) {
  std::ranges::copy(memory[op.local].flat(), memory[op.all].flat().begin());
}

template <class T>
void reference(const ReduceGradients& /*op*/, Memory<T>& /*memory*/) {}

template <class T>
void reference(const WaitForGradients& /*op*/, Memory<T>& /*memory*/) {}

}  // namespace simclr::reference
