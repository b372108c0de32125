#pragma once
// CUDA graphs: capturing what a stream is given, and replaying it.

#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

#include "runtime.hpp"

namespace simclr::cuda {

struct DestroyGraphExec {
  void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
using GraphExec = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, DestroyGraphExec>;

inline bool is_captured(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status), "ask whether a stream is captured");
  return status == cudaStreamCaptureStatusActive;
}

/// While one lives, work given to the stream by this thread is recorded instead of run. Other
/// threads may do as they like.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin a capture");
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (stream_ == nullptr) return;
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(stream_, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    (void)cudaGetLastError();
  }

  /// Ends the capture; `name` is the graph's, for errors.
  [[nodiscard]] GraphExec finish(std::string_view name) {
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(std::exchange(stream_, nullptr), &graph), "end a capture");
    cudaGraphExec_t executable = nullptr;
    const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
    cudaGraphDestroy(graph);
    check(status, fmt::format("make {} executable", name));
    return GraphExec(executable);
  }

 private:
  cudaStream_t stream_;
};

}  // namespace simclr::cuda
