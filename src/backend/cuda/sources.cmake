# What the CUDA backend is made of. Its kernels and its host code are also compiled for the host by
# tests/cuda_emulation, with other files in the place of `library` (cuDNN, cuBLASLt, NCCL).
set(kernels_dir ${CMAKE_CURRENT_LIST_DIR}/kernels)
set(SIMCLR_CUDA_KERNELS
  ${kernels_dir}/column_sums.cu
  ${kernels_dir}/convert.cu)
set(SIMCLR_CUDA_HOST_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/backend.cpp
  ${CMAKE_CURRENT_LIST_DIR}/convolution_shape.cpp
  ${CMAKE_CURRENT_LIST_DIR}/device.cpp
  ${CMAKE_CURRENT_LIST_DIR}/engine_choice.cpp
  ${CMAKE_CURRENT_LIST_DIR}/layout.cpp
  ${CMAKE_CURRENT_LIST_DIR}/matmul.cpp
  ${CMAKE_CURRENT_LIST_DIR}/memory.cpp
  ${CMAKE_CURRENT_LIST_DIR}/pending.cpp
  ${CMAKE_CURRENT_LIST_DIR}/plan_cache.cpp
  ${CMAKE_CURRENT_LIST_DIR}/runner.cpp
  ${CMAKE_CURRENT_LIST_DIR}/shadows.cpp)
set(SIMCLR_CUDA_LIBRARY_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/cublaslt/matrix_product.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/convolution_graph.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/convolution_plan.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/descriptor.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/descriptor_names.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/engine_configs.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/engine_plan.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/measure.cpp
  ${CMAKE_CURRENT_LIST_DIR}/libraries.cpp)
