#pragma once
// The instruction sets that the program's own kernels are compiled for.

#include <cstdint>

namespace simclr {

/// Ascending: each includes those before it. On other processors than x86-64 there is `baseline`
/// alone.
enum class InstructionSet : std::uint8_t {
  baseline,  ///< what the compiler assumes by default
  v3,        ///< x86-64-v3: AVX2, FMA, BMI2
  v4,        ///< x86-64-v4: AVX-512 F, BW, CD, DQ, VL
  v4_bf16,   ///< v4 and AVX-512 BF16
};

/// "baseline", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16".
const char* name_of(InstructionSet set);

/// The highest set that the kernels may use: the processor's, or a lower one that the environment
/// variable SIMCLR_CPU_ISA names, for tests and comparisons. Throws RefusedError where it names
/// one that this processor does not have, or none at all. oneDNN's kernels have a limit of their
/// own, DNNL_MAX_CPU_ISA (ONEDNN_MAX_CPU_ISA in newer versions).
InstructionSet instruction_set();

}  // namespace simclr
