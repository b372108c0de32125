# What the CUDA backend is made of. Its kernels and its host code are also compiled for the host by
# tests/cuda_emulation, with other files in the place of `library` (cuDNN, cuBLASLt, NCCL).
set(kernels_dir ${CMAKE_CURRENT_LIST_DIR}/kernels)
set(SIMCLR_CUDA_KERNELS
  ${kernels_dir}/convert.cu
  ${kernels_dir}/cross_entropy.cu
  ${kernels_dir}/l2_normalize.cu
  ${kernels_dir}/nt_xent_backward.cu
  ${kernels_dir}/nt_xent_backward_f32.cu
  ${kernels_dir}/nt_xent_finish.cu
  ${kernels_dir}/nt_xent_forward.cu
  ${kernels_dir}/nt_xent_forward_f32.cu
  ${kernels_dir}/sum_terms.cu)
set(SIMCLR_CUDA_HOST_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/backend.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cross_entropy.cpp
  ${CMAKE_CURRENT_LIST_DIR}/device.cpp
  ${CMAKE_CURRENT_LIST_DIR}/l2_normalize.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout.cpp
  ${CMAKE_CURRENT_LIST_DIR}/memory.cpp
  ${CMAKE_CURRENT_LIST_DIR}/nt_xent.cpp
  ${CMAKE_CURRENT_LIST_DIR}/pending.cpp
  ${CMAKE_CURRENT_LIST_DIR}/runner.cpp
  ${CMAKE_CURRENT_LIST_DIR}/shadows.cpp)
set(SIMCLR_CUDA_LIBRARY_SOURCES)
