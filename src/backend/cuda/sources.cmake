# What the CUDA backend is made of. Its kernels and its host code are also compiled for the host by
# tests/cuda_emulation, with other files in the place of `library` (cuDNN, cuBLASLt, NCCL).
set(kernels_dir ${CMAKE_CURRENT_LIST_DIR}/kernels)
set(SIMCLR_CUDA_KERNELS
  ${kernels_dir}/convert.cu
  ${kernels_dir}/elementwise.cu
  ${kernels_dir}/filter.cu
  ${kernels_dir}/finite.cu
  ${kernels_dir}/optimizer.cu
  ${kernels_dir}/pool.cu
  ${kernels_dir}/top_k.cu)
set(SIMCLR_CUDA_HOST_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/backend.cpp
  ${CMAKE_CURRENT_LIST_DIR}/convolution.cpp
  ${CMAKE_CURRENT_LIST_DIR}/device.cpp
  ${CMAKE_CURRENT_LIST_DIR}/elementwise.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout.cpp
  ${CMAKE_CURRENT_LIST_DIR}/memory.cpp
  ${CMAKE_CURRENT_LIST_DIR}/optimizer.cpp
  ${CMAKE_CURRENT_LIST_DIR}/pending.cpp
  ${CMAKE_CURRENT_LIST_DIR}/pool.cpp
  ${CMAKE_CURRENT_LIST_DIR}/runner.cpp
  ${CMAKE_CURRENT_LIST_DIR}/shadows.cpp
  ${CMAKE_CURRENT_LIST_DIR}/top_k.cpp)
set(SIMCLR_CUDA_LIBRARY_SOURCES)
