#pragma once
// Marks inline functions that both the CPU code and the CUDA kernels call.

#ifdef __CUDACC__
#define SIMCLR_HD __host__ __device__
#define SIMCLR_HD_INLINE __host__ __device__ __forceinline__
#else
#define SIMCLR_HD
/// Forces inlining. Code compiled for several instruction sets needs it: the linker would otherwise
/// use one set's out-of-line copy of a function in the whole program.
#define SIMCLR_HD_INLINE [[gnu::always_inline]] inline
#endif
