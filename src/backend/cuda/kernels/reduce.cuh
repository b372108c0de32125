#pragma once
// Sums over a warp and over a block, in an order that depends on the launch shape only, without
// atomics; and a block's shared memory.

#include <cuda_runtime.h>

namespace simclr::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFU;

/// The sum over the warp, in every lane. All 32 lanes call it.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, distance);
  }
  return value;
}

template <class T>
__device__ __forceinline__ T warp_max(T value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, value, distance);
    value = other > value ? other : value;
  }
  return value;
}

/// The sum over a block of kThreads threads (a multiple of 32, one-dimensional), in every thread.
/// All threads call it; it may be called again without a barrier between.
template <int kThreads, class T>
__device__ __forceinline__ T block_sum(T value) {
  static_assert(kThreads % kWarp == 0 && kThreads <= 1024);
  constexpr int kWarps = kThreads / kWarp;
  __shared__ T partial[kWarps];
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
  T sum = partial[0];
#pragma unroll
  for (int warp = 1; warp < kWarps; ++warp) sum += partial[warp];
  __syncthreads();
  return sum;
}

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
