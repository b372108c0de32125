#pragma once

#include <cuda_runtime.h>

namespace simclr::cuda {

/// The block's dynamic shared memory, aligned to 128 bytes; LaunchShape::shared_bytes of it.
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
#ifdef SIMCLR_CUDA_EMULATION
  return static_cast<T*>(emulation::dynamic_shared_memory());
#else
  extern __shared__ __align__(128) unsigned char dynamic_shared_bytes[];
  return reinterpret_cast<T*>(dynamic_shared_bytes);
#endif
}

}  // namespace simclr::cuda
