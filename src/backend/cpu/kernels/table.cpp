#include "table.hpp"

#include "simclr/core/instruction_set.hpp"

// The kernel sources are compiled once per instruction set (CMakeLists.txt beside this file).
namespace simclr::isa_baseline {
void fill(kernels::Table& table);
}
#ifdef SIMCLR_KERNELS_X86
namespace simclr::isa_v3 {
void fill(kernels::Table& table);
}
namespace simclr::isa_v4 {
void fill(kernels::Table& table);
}
namespace simclr::isa_v4_bf16 {
void fill(kernels::Table& table);
}
#endif

namespace simclr::kernels {

namespace {

Table make_table() {
  const InstructionSet set = instruction_set();
  Table table;
  table.name = name_of(set);
  switch (set) {
#ifdef SIMCLR_KERNELS_X86
    case InstructionSet::v4_bf16:
      isa_v4_bf16::fill(table);
      break;
    case InstructionSet::v4:
      isa_v4::fill(table);
      break;
    case InstructionSet::v3:
      isa_v3::fill(table);
      break;
#endif
    default:
      isa_baseline::fill(table);
  }
  return table;
}

}  // namespace

const Table& table() {
  static const Table chosen = make_table();
  return chosen;
}

}  // namespace simclr::kernels
