#pragma once
// Names what a kernel source (core/simd.hpp) defines in the namespace of each instruction set.

#include <array>

#include "simclr/core/instruction_set.hpp"

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
