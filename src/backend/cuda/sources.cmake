# What the CUDA backend is made of. Its kernels and its host code are also compiled for the host by
# tests/cuda_emulation, with other files in the place of `library` (cuDNN, cuBLASLt, NCCL). The layout
# of tensors, layout.cpp, needs no CUDA and belongs to every build (../CMakeLists.txt).
set(kernels_dir ${CMAKE_CURRENT_LIST_DIR}/kernels)
set(SIMCLR_CUDA_KERNELS
  ${kernels_dir}/average.cu
  ${kernels_dir}/batch_norm.cu
  ${kernels_dir}/batch_norm_backward.cu
  ${kernels_dir}/contrastive_backward.cu
  ${kernels_dir}/contrastive_finish.cu
  ${kernels_dir}/contrastive_forward.cu
  ${kernels_dir}/elementwise.cu
  ${kernels_dir}/nt_xent_half.cu
  ${kernels_dir}/optimizer.cu
  ${kernels_dir}/pool.cu
  ${kernels_dir}/row_losses.cu
  ${kernels_dir}/streams.cu
  ${kernels_dir}/sums.cu
  ${kernels_dir}/top_k.cu)
set(SIMCLR_CUDA_HOST_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/backend.cpp
  ${CMAKE_CURRENT_LIST_DIR}/communication.cpp
  ${CMAKE_CURRENT_LIST_DIR}/contrastive.cpp
  ${CMAKE_CURRENT_LIST_DIR}/convolution.cpp
  ${CMAKE_CURRENT_LIST_DIR}/convolution_plans.cpp
  ${CMAKE_CURRENT_LIST_DIR}/device.cpp
  ${CMAKE_CURRENT_LIST_DIR}/input_stage.cpp
  ${CMAKE_CURRENT_LIST_DIR}/matmul.cpp
  ${CMAKE_CURRENT_LIST_DIR}/memory.cpp
  ${CMAKE_CURRENT_LIST_DIR}/plan_cache.cpp
  ${CMAKE_CURRENT_LIST_DIR}/runner.cpp
  ${CMAKE_CURRENT_LIST_DIR}/transport.cpp
  ${CMAKE_CURRENT_LIST_DIR}/watch.cpp)
set(SIMCLR_CUDA_LIBRARY_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/cublaslt/matrix_product.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/convolution_graph.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/descriptor.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/engine_plan.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cudnn/measure.cpp
  ${CMAKE_CURRENT_LIST_DIR}/libraries.cpp
  ${CMAKE_CURRENT_LIST_DIR}/nccl_communicator.cpp)
