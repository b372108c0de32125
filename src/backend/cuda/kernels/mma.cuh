#pragma once
// Tensor cores and asynchronous copies, as PTX has them since compute capability 8.0.
//
// mma.sync.m16n8k16, d (16,8) += a (16,16) * b (16,8): a warp holds each matrix in fragments. With
// lane = 4 * group + member, a[0] has row `group`, columns 2 * member + {0,1}; a[1] row group + 8;
// a[2] and a[3] the same rows, columns + 8. b[0] has rows 2 * member + {0,1} of column `group`;
// b[1] rows + 8. d[0..1] is row `group`, columns 2 * member + {0,1}; d[2..3] row group + 8.

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "element.cuh"

#ifdef SIMCLR_CUDA_EMULATION
#include <emulated_mma.hpp>  // the same functions on the CPU
#else

namespace simclr::cuda {

/// d += a * b with T = bf16 or f16 and f32 sums.
template <class T>
__device__ __forceinline__ void mma(float (&d)[4], const std::uint32_t (&a)[4],
                                    const std::uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, bf16>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}

/// An address in shared memory, to which bytes are added.
using SharedAddress = std::uint32_t;
__device__ __forceinline__ SharedAddress shared_address(void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

/// The address with these of its bits inverted.
__device__ __forceinline__ SharedAddress flip_bits(SharedAddress address, unsigned bits) {
  return address ^ bits;
}

/// Four 8 x 8 matrices of 16-bit elements from shared memory: lane i gives the address of row i % 8
/// of matrix i / 8; m[k] has row lane / 4, columns 2 * (lane % 4) + {0,1} of matrix k.
__device__ __forceinline__ void load_matrices(std::uint32_t (&m)[4], SharedAddress row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(row)
               : "memory");
}

/// The same of the transposed matrices.
__device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&m)[4], SharedAddress row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(row)
               : "memory");
}

/// Two neighbors of a fragment, rounded to T; `first` has the lower address.
template <class T>
__device__ __forceinline__ std::uint32_t pack_pair(float first, float second) {
  std::uint32_t pair;
  if constexpr (std::is_same_v<T, bf16>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  }
  return pair;
}

/// 2^x to two units in the last place; results under the smallest normal number are 0.
__device__ __forceinline__ float exp2_fast(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

/// Starts a copy of 16 bytes from global to shared memory, past the registers.
__device__ __forceinline__ void copy_async(SharedAddress shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" : : "r"(shared), "l"(global) : "memory");
}
/// Closes a group of this thread's copies; empty groups count too.
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits for this thread's copies but those of the last `kPending` groups.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(kPending) : "memory");
}

}  // namespace simclr::cuda

#endif
