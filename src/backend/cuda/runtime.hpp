#pragma once
// Owners of the CUDA runtime's handles, and its errors as ours.

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <source_location>
#include <string_view>
#include <type_traits>
#include <utility>

#include "simclr/core/check.hpp"

namespace simclr::cuda {

/// Throws OutOfDeviceMemory naming the call, for which there was not enough memory.
[[noreturn]] void fail_for_memory(std::string_view call);

/// Throws Error naming the call, what CUDA says of it and our line.
inline void check(cudaError_t status, std::string_view call,
                  std::source_location where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  (void)cudaGetLastError();  // errors that can be recovered from must not fail the next call
  if (status == cudaErrorMemoryAllocation) fail_for_memory(call);
  fail("{}: {} ({}, {}:{})", call, cudaGetErrorString(status), cudaGetErrorName(status),
       where.file_name(), where.line());
}

/// The owner of a C handle.
template <auto destroy>
struct Destroy {
  template <class Handle>
  void operator()(Handle* handle) const {
    destroy(handle);
  }
};
template <class Handle, auto destroy>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<destroy>>;

/// A stream that does not wait for the default stream.
class Stream {
 public:
  Stream() {
    cudaStream_t raw = nullptr;
    check(cudaStreamCreateWithFlags(&raw, cudaStreamNonBlocking), "create a stream");
    stream_.reset(raw);
  }
  [[nodiscard]] cudaStream_t get() const { return stream_.get(); }
  void synchronize() const { check(cudaStreamSynchronize(get()), "wait for a stream"); }

 private:
  Owner<cudaStream_t, cudaStreamDestroy> stream_;
};

/// A point in a stream: record() marks it, other streams and the host wait for it.
class Event {
 public:
  enum class Timing : bool { off, on };
  explicit Event(Timing timing = Timing::off) {
    const unsigned flags = timing == Timing::on ? cudaEventDefault : cudaEventDisableTiming;
    cudaEvent_t raw = nullptr;
    check(cudaEventCreateWithFlags(&raw, flags), "create an event");
    event_.reset(raw);
  }
  [[nodiscard]] cudaEvent_t get() const { return event_.get(); }
  void record(cudaStream_t stream) { check(cudaEventRecord(get(), stream), "record an event"); }
  /// What is enqueued on `stream` from now on runs after the recorded point.
  void make_wait(cudaStream_t stream) const {
    check(cudaStreamWaitEvent(stream, get(), 0), "wait for an event on a stream");
  }
  void synchronize() const { check(cudaEventSynchronize(get()), "wait for an event"); }
  /// Milliseconds from `earlier` to this event; both were recorded with Timing::on and have passed.
  [[nodiscard]] float milliseconds_since(const Event& earlier) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.get(), get()), "time between events");
    return milliseconds;
  }

 private:
  Owner<cudaEvent_t, cudaEventDestroy> event_;
};

/// The streams of a backend. Ops run in program order on `compute`; gradient buckets are summed on
/// `gradients` beside it (communication.cpp has the order); `copy` brings the next batch.
struct Lanes {
  Stream compute, gradients, copy;
};

// ---- CUDA graphs: capturing what a stream is given, and replaying it ---------------------------

using GraphExec = Owner<cudaGraphExec_t, cudaGraphExecDestroy>;

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
