#include <vector>

#include "simclr/core/simd_dispatch.hpp"
#include "view_job.hpp"

namespace simclr {

SIMCLR_DECLARE_IN_EACH_ISA(void render(const augment::ViewJob&, const augment::Workspace&, void*))

augment::KernelList augment::available_kernels() {
  static const std::vector<Kernels> available = [] {
    const std::array render = SIMCLR_FROM_EACH_ISA(render);
    std::vector<Kernels> kernels;
    for (auto set = static_cast<int>(instruction_set()); set >= 0; --set) {
      kernels.push_back({name_of(static_cast<InstructionSet>(set)), render.at(set)});
    }
    return kernels;
  }();
  return {available.data(), static_cast<int>(available.size())};
}

}  // namespace simclr
