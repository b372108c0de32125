#include "simclr/backend/registry.hpp"

#include "simclr/core/check.hpp"

#ifdef SIMCLR_HAS_CUDA
#include "cuda/availability.hpp"
#endif

namespace simclr {

#ifdef SIMCLR_HAS_CUDA

std::string why_no_cuda() { return cuda::why_no_device(); }

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  if (const std::string reason = why_no_cuda(); !reason.empty()) refuse("{}", reason);
  return cuda::make_backend(options);
}

#else

std::string why_no_cuda() {
  return "this build has no CUDA backend (configure with -DSIMCLR_CUDA=ON on a machine with the "
         "CUDA "
         "toolkit, cuDNN and NCCL)";
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& /*options*/) {
  refuse("{}", why_no_cuda());
}

#endif

}  // namespace simclr
