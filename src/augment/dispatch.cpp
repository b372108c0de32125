#include <array>
#include <cstddef>

#include "simclr/core/instruction_set.hpp"
#include "view_job.hpp"

namespace simclr::augment {

#ifdef SIMCLR_X86_64_LEVELS
namespace lanes16 {
extern const Kernels kKernels;
}
namespace lanes8 {
extern const Kernels kKernels;
}
#endif
namespace lanes4 {
extern const Kernels kKernels;
}

namespace {

struct Available {
  std::array<Kernels, 3> kernels{};
  int count = 0;
  void add(const Kernels& more) { kernels.at(static_cast<std::size_t>(count++)) = more; }
};

Available find_available() {
  Available available;
#ifdef SIMCLR_X86_64_LEVELS
  if (instruction_set() >= InstructionSet::v4) available.add(lanes16::kKernels);
  if (instruction_set() >= InstructionSet::v3) available.add(lanes8::kKernels);
#endif
  available.add(lanes4::kKernels);
  return available;
}

}  // namespace

KernelList available_kernels() {
  static const Available available = find_available();
  return {available.kernels.data(), available.count};
}

}  // namespace simclr::augment
