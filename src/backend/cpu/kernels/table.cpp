#include "table.hpp"

#include "simclr/core/simd_dispatch.hpp"

namespace simclr {

SIMCLR_DECLARE_IN_EACH_ISA(void fill(kernels::Table& table))

const kernels::Table& kernels::table() {
  static const Table chosen = [] {
    Table table;
    table.name = name_of(instruction_set());
    SIMCLR_FROM_EACH_ISA(fill).at(static_cast<std::size_t>(instruction_set()))(table);
    return table;
  }();
  return chosen;
}

}  // namespace simclr
