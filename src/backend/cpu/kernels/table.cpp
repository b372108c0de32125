#include "table.hpp"

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "simclr/core/check.hpp"

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

struct InstructionSet {
  const char* name;
  void (*fill)(Table&);
};

// Best first; the last one always works.
std::vector<InstructionSet> usable_instruction_sets() {
  std::vector<InstructionSet> sets;
#ifdef SIMCLR_KERNELS_X86
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512cd");
  if (v4 && __builtin_cpu_supports("avx512bf16")) {
    sets.push_back({"x86-64-v4-bf16", isa_v4_bf16::fill});
  }
  if (v4) sets.push_back({"x86-64-v4", isa_v4::fill});
  if (v3) sets.push_back({"x86-64-v3", isa_v3::fill});
#endif
  sets.push_back({"baseline", isa_baseline::fill});
  return sets;
}

Table make_table() {
  const std::vector<InstructionSet> sets = usable_instruction_sets();
  const char* wanted = std::getenv("SIMCLR_CPU_ISA");
  std::string names;
  for (const InstructionSet& set : sets) {
    if (wanted == nullptr || std::string_view(wanted) == set.name) {
      Table table;
      table.name = set.name;
      set.fill(table);
      return table;
    }
    names += std::string(names.empty() ? "" : ", ") + set.name;
  }
  refuse("SIMCLR_CPU_ISA={} is not among this machine's instruction sets: {}", wanted, names);
}

}  // namespace

const Table& table() {
  static const Table chosen = make_table();
  return chosen;
}

}  // namespace simclr::kernels
