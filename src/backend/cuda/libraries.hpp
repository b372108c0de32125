#pragma once
// Handles of cuDNN and cuBLASLt, one of each a device.

#include <cuda_runtime.h>

#include <memory>
#include <string>

namespace simclr::cuda {

class Libraries {
 public:
  /// cuDNN's work is enqueued on `stream`.
  explicit Libraries(cudaStream_t stream);
  Libraries(const Libraries&) = delete;
  Libraries& operator=(const Libraries&) = delete;
  ~Libraries();

  struct Handles;  // libraries.cpp and those that call the libraries: library_handles.hpp
  [[nodiscard]] Handles& handles() { return *handles_; }
  /// "cuDNN 9.19.0, cuBLASLt 13.1.0, CUDA 13.0".
  [[nodiscard]] static std::string versions();

 private:
  std::unique_ptr<Handles> handles_;
};

}  // namespace simclr::cuda
