#pragma once
// Marks inline functions that both the CPU code and the CUDA kernels call.

#ifdef __CUDACC__
#define SIMCLR_HD __host__ __device__
#define SIMCLR_HD_INLINE __host__ __device__ __forceinline__
#else
#define SIMCLR_HD
/// Never leaves an out-of-line copy behind: code that is compiled for several instruction sets may
/// use such functions without the linker picking one set's copy for the whole program.
#define SIMCLR_HD_INLINE [[gnu::always_inline]] inline
#endif
