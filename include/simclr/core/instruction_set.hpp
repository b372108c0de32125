#pragma once
// The instruction sets that the program's own kernels are compiled for.

#include <cstdint>

namespace simclr {

/// In ascending order: each set includes those before it. Processors other than x86-64 have only
/// `baseline`.
enum class InstructionSet : std::uint8_t {
  baseline,  ///< the compiler's default
  v3,        ///< x86-64-v3: AVX2, FMA, BMI2
  v4,        ///< x86-64-v4: AVX-512 F, BW, CD, DQ, VL
  v4_bf16,   ///< v4 and AVX-512 BF16
};

/// "baseline", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16".
const char* name_of(InstructionSet set);

/// The highest set that the kernels may use: the processor's, or a lower one given by the
/// environment variable SIMCLR_CPU_ISA for tests and comparisons. Throws RefusedError when the
/// variable names an unknown set or one that this processor lacks. oneDNN's kernels have their own
/// limit, DNNL_MAX_CPU_ISA (ONEDNN_MAX_CPU_ISA in newer versions).
InstructionSet instruction_set();

}  // namespace simclr
