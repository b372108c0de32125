#include <oneapi/dnnl/dnnl.hpp>

#include "simclr/backend/registry.hpp"

namespace simclr {

// What oneDNN may use decides, not only what the CPU offers: DNNL_MAX_CPU_ISA can narrow it.
bool cpu_has_native_bf16() {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  return isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
}

}  // namespace simclr
