#pragma once
// Marks inline functions that both the CPU code and the CUDA kernels call.

#ifdef __CUDACC__
#define SIMCLR_HD __host__ __device__
#else
#define SIMCLR_HD
#endif
