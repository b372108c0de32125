#include "simclr/core/instruction_set.hpp"

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

constexpr std::array kSetNames{"baseline", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16"};

InstructionSet set_of_processor() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
                  __builtin_cpu_supports("bmi2") != 0;
  const bool v4 =
      v3 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
      __builtin_cpu_supports("avx512vl") != 0;
  if (v4 && __builtin_cpu_supports("avx512bf16") != 0) return InstructionSet::v4_bf16;
  if (v4) return InstructionSet::v4;
  if (v3) return InstructionSet::v3;
#endif
  return InstructionSet::baseline;
}

InstructionSet choose() {
  const auto highest = static_cast<std::size_t>(set_of_processor());
  const char* wanted = std::getenv("SIMCLR_CPU_ISA");
  if (wanted == nullptr) return static_cast<InstructionSet>(highest);
  std::string allowed;
  for (std::size_t set = 0; set <= highest; ++set) {
    if (std::string_view(wanted) == kSetNames.at(set)) return static_cast<InstructionSet>(set);
    allowed += std::string(set == 0 ? "" : ", ") + kSetNames.at(set);
  }
  refuse("SIMCLR_CPU_ISA={} is not among this machine's instruction sets: {}", wanted, allowed);
}

}  // namespace

const char* name_of(InstructionSet set) { return kSetNames.at(static_cast<std::size_t>(set)); }

InstructionSet instruction_set() {
  static const InstructionSet chosen = choose();
  return chosen;
}

}  // namespace simclr
