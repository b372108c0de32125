#include "table.hpp"

#include "simclr/core/instruction_set.hpp"

namespace simclr {

// Each kernel source enters its functions into the table of its instruction set.
SIMCLR_DECLARE_IN_EACH_ISA(void fill_batch_norm(kernels::Table& table))
SIMCLR_DECLARE_IN_EACH_ISA(void fill_element(kernels::Table& table))
SIMCLR_DECLARE_IN_EACH_ISA(void fill_loss(kernels::Table& table))
SIMCLR_DECLARE_IN_EACH_ISA(void fill_optimizer(kernels::Table& table))

const kernels::Table& kernels::table() {
  static const Table chosen = [] {
    Table table;
    table.name = name_of(instruction_set());
    const auto set = static_cast<std::size_t>(instruction_set());
    SIMCLR_FROM_EACH_ISA(fill_batch_norm).at(set)(table);
    SIMCLR_FROM_EACH_ISA(fill_element).at(set)(table);
    SIMCLR_FROM_EACH_ISA(fill_loss).at(set)(table);
    SIMCLR_FROM_EACH_ISA(fill_optimizer).at(set)(table);
    return table;
  }();
  return chosen;
}

}  // namespace simclr
