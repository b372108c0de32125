#pragma once
// What the files that call cuDNN and cuBLASLt share: the handles, one of each a device, and the
// libraries' errors as ours.

#include <cublasLt.h>
#include <cudnn_graph.h>

#include <source_location>
#include <string_view>

#include "device.hpp"

namespace simclr::cuda {

/// cuDNN has refused a call; a candidate that fails so is passed over.
class CudnnError : public Error {
 public:
  using Error::Error;
};

/// Throws CudnnError naming the call, what cuDNN says of it and our line.
void check(cudnnStatus_t status, std::string_view call,
           std::source_location where = std::source_location::current());
/// Throws Error naming the call, what cuBLAS says of it and our line.
void check(cublasStatus_t status, std::string_view call,
           std::source_location where = std::source_location::current());

struct Libraries {
  /// cuDNN enqueues on `stream` from now on.
  void use_stream(cudaStream_t stream);

  Owner<cudnnHandle_t, cudnnDestroy> cudnn;
  Owner<cublasLtHandle_t, cublasLtDestroy> cublaslt;
  cudaStream_t cudnn_stream = nullptr;
};

}  // namespace simclr::cuda
