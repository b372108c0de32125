# Sets SIMCLR_HAS_CUDA to TRUE if the CUDA backend is built (option SIMCLR_CUDA).
set(SIMCLR_CUDA AUTO CACHE STRING
    "Build the CUDA backend: AUTO (if the toolkit, cuDNN and NCCL are found), ON (else fail), OFF")
set_property(CACHE SIMCLR_CUDA PROPERTY STRINGS AUTO ON OFF)
set(SIMCLR_HAS_CUDA FALSE)
if(SIMCLR_CUDA STREQUAL "OFF")
  return()
endif()

include(CheckLanguage)
check_language(CUDA)
if(CMAKE_CUDA_COMPILER)
  # A100 and H100; code for 80 and 90 also runs on newer GPUs of the same generation.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90 CACHE STRING "GPU architectures to compile for")
  endif()
  enable_language(CUDA)
  # CMake 3.25 does not know nvcc's option for C++20.
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # must be the one that the host code links
  find_package(CUDAToolkit 12.0)
  find_package(CUDNN 9.8)
  find_package(NCCL)
endif()
if(CMAKE_CUDA_COMPILER AND CUDAToolkit_FOUND AND CUDNN_FOUND AND NCCL_FOUND)
  set(SIMCLR_HAS_CUDA TRUE)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)  # runs ptxas_log.py
elseif(SIMCLR_CUDA STREQUAL "ON")
  message(FATAL_ERROR "SIMCLR_CUDA=ON needs the CUDA toolkit (12 or newer, nvcc in PATH), cuDNN 9.8 or newer and NCCL")
endif()
message(STATUS "CUDA backend: ${SIMCLR_HAS_CUDA} (SIMCLR_CUDA=${SIMCLR_CUDA})")
