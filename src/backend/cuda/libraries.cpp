#include "libraries.hpp"

#include <fmt/format.h>

#include <array>

namespace simclr::cuda {

namespace {

/// 91900 is 9.19.0.
std::string dotted(std::size_t version) {
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

}  // namespace

void check(cudnnStatus_t status, std::string_view call, std::source_location where) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  if (status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) fail_for_memory(call);
  constexpr std::size_t kLongestMessage = 1024;
  std::array<char, kLongestMessage> last{};
  cudnnGetLastErrorString(last.data(), last.size());
  std::string_view reason(last.data());
  while (reason.ends_with('\n')) reason.remove_suffix(1);
  throw CudnnError(fmt::format("{}: {}{}{} ({}:{})", call, cudnnGetErrorString(status),
                               reason.empty() ? "" : ", ", reason, where.file_name(),
                               where.line()));
}

void check(cublasStatus_t status, std::string_view call, std::source_location where) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  if (status == CUBLAS_STATUS_ALLOC_FAILED) fail_for_memory(call);
  fail("{}: {} ({}, {}:{})", call, cublasLtGetStatusString(status), cublasLtGetStatusName(status),
       where.file_name(), where.line());
}

void Libraries::use_stream(cudaStream_t stream) {
  if (stream == cudnn_stream) return;
  check(cudnnSetStream(cudnn.get(), stream), "give cuDNN a stream");
  cudnn_stream = stream;
}

std::shared_ptr<Libraries> start_libraries(cudaStream_t stream) {
  auto libraries = std::make_shared<Libraries>();
  cudnnHandle_t cudnn = nullptr;
  check(cudnnCreate(&cudnn), "start cuDNN");
  libraries->cudnn.reset(cudnn);
  libraries->use_stream(stream);
  cublasLtHandle_t cublaslt = nullptr;
  check(cublasLtCreate(&cublaslt), "start cuBLASLt");
  libraries->cublaslt.reset(cublaslt);
  return libraries;
}

std::string library_versions() {
  int runtime = 0;
  check(cudaRuntimeGetVersion(&runtime), "ask for the CUDA runtime's version");
  return fmt::format("cuDNN {}, cuBLASLt {}, CUDA {}.{}", dotted(cudnnGetVersion()),
                     dotted(cublasLtGetVersion()), runtime / 1000, runtime % 1000 / 10);
}

}  // namespace simclr::cuda
