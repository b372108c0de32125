#pragma once
// The instruction sets that the program's own kernels are compiled for.

#include <array>
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

// ---- what a kernel source (core/simd.hpp) defines in the namespace of each instruction set ------

#if defined(__x86_64__)
/// Declares a function or an object in every such namespace; used in namespace simclr.
#define SIMCLR_DECLARE_IN_EACH_ISA(declaration) \
  namespace isa_baseline {                      \
  declaration;                                  \
  }                                             \
  namespace isa_v3 {                            \
  declaration;                                  \
  }                                             \
  namespace isa_v4 {                            \
  declaration;                                  \
  }                                             \
  namespace isa_v4_bf16 {                       \
  declaration;                                  \
  }
/// A std::array of them, by InstructionSet.
#define SIMCLR_FROM_EACH_ISA(name) \
  std::array { isa_baseline::name, isa_v3::name, isa_v4::name, isa_v4_bf16::name }
#else
#define SIMCLR_DECLARE_IN_EACH_ISA(declaration) \
  namespace isa_baseline {                      \
  declaration;                                  \
  }
#define SIMCLR_FROM_EACH_ISA(name) \
  std::array { isa_baseline::name }
#endif
