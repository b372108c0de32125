// The runtime's functions over the emulation.

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "device_memory.hpp"
#include "streams.hpp"

namespace {

using emulation::DeviceMemoryIsOpen;

cudaError_t last_error = cudaSuccess;
std::set<emulation::Stream*> streams;
std::size_t streams_made = 0;
std::map<const void*, std::size_t> pinned;
int current_device = 0;
std::size_t launched_graphs = 0;
bool streams_hang = false;
bool streams_stopped = false;
bool graphs_refused = false;
bool pinned_refused = false;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

/// What no capture allows; it ends the capture as well.
cudaError_t refuse_in_capture(emulation::Graph* graph) {
  graph->invalid = true;
  return result(cudaErrorStreamCaptureUnsupported);
}

/// The first `count` items of a stream's work have run afterwards.
void execute(emulation::Stream* stream, std::size_t count) {
  if (!streams.contains(stream) || stream->executed >= count) return;
  const DeviceMemoryIsOpen open;  // once for all of it
  while (stream->executed < count && !stream->queue.empty()) {
    const emulation::Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    work();
    ++stream->executed;
  }
}
void execute_all(emulation::Stream* stream) { execute(stream, stream->enqueued); }
void execute_everything() {
  for (emulation::Stream* stream : streams) execute_all(stream);
}

bool is_pinned(const void* memory) {
  const auto after = pinned.upper_bound(memory);
  if (after == pinned.begin()) return false;
  const auto& [start, bytes] = *std::prev(after);
  return memory < static_cast<const std::byte*>(start) + bytes;
}

bool is_late(std::size_t index) {
  const char* which = std::getenv("SIMCLR_EMULATED_LATE_STREAMS");
  if (which == nullptr) return false;
  const std::string name = which;
  return name == "all" || (name == "even" && index % 2 == 0) || (name == "odd" && index % 2 == 1);
}

int device_count() {
  const char* text = std::getenv("SIMCLR_EMULATED_DEVICES");
  return text != nullptr ? std::atoi(text) : 1;
}

}  // namespace

namespace emulation {

void enqueue(Stream* stream, Work work) {
  if (stream != nullptr && stream->capturing != nullptr) {
    stream->capturing->work.push_back(std::move(work));
    stream->unjoined = stream != stream->capturing->origin;
  } else if (stream != nullptr && stream->late) {
    stream->queue.push_back(std::move(work));
    ++stream->enqueued;
  } else if (!streams_stopped) {
    work();
  }
}

std::size_t graph_launches() { return launched_graphs; }
void hang_streams(bool hang) {
  streams_hang = hang;
  streams_stopped = false;
}
void stop_streams() { streams_hang = streams_stopped = true; }
void refuse_graphs(bool refuse) { graphs_refused = refuse; }
void refuse_pinned_memory(bool refuse) { pinned_refused = refuse; }

}  // namespace emulation

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    default:
      return "cudaError";
  }
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : cudaGetErrorName(error);
}
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = device_count();
  return result(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= device_count()) return result(cudaErrorInvalidValue);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int /*device*/) {
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulated device");
  properties->totalGlobalMem = emulation::total_device_bytes();
  properties->major = 9;
  properties->multiProcessorCount = 4;
  properties->l2CacheSize = 50 << 20;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  std::snprintf(text, static_cast<std::size_t>(length), "0000:%02x:00.0", device);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  execute_everything();
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = emulation::free_device_bytes();
  *total = emulation::total_device_bytes();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  for (const emulation::Stream* stream : streams) {
    if (stream->capturing != nullptr) return refuse_in_capture(stream->capturing);
  }
  *memory = emulation::allocate_device_memory(bytes);
  return result(*memory != nullptr ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* memory) {
  execute_everything();
  if (memory == nullptr || emulation::free_device_memory(memory)) return cudaSuccess;
  return result(cudaErrorInvalidValue);
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned /*flags*/) {
  if (pinned_refused) return result(cudaErrorMemoryAllocation);
  *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  pinned[*memory] = bytes;
  return result(*memory != nullptr ? cudaSuccess : cudaErrorMemoryAllocation);
}
cudaError_t cudaFreeHost(void* memory) {
  execute_everything();
  pinned.erase(memory);
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return cudaErrorInvalidValue;
  emulation::enqueue(stream, [=] {
    const DeviceMemoryIsOpen open;
    for (std::size_t row = 0; row < height; ++row) {
      std::memcpy(static_cast<std::byte*>(to) + row * to_pitch,
                  static_cast<const std::byte*>(from) + row * from_pitch, width);
    }
  });
  // Pageable memory is copied before the call returns.
  const bool pageable = (kind == cudaMemcpyHostToDevice && !is_pinned(from)) ||
                        (kind == cudaMemcpyDeviceToHost && !is_pinned(to));
  if (pageable && stream != nullptr && stream->capturing == nullptr) execute_all(stream);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  emulation::enqueue(stream, [=] {
    const DeviceMemoryIsOpen open;
    std::memset(to, value, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width,
                              std::size_t height, cudaStream_t stream) {
  if (width > pitch) return cudaErrorInvalidValue;
  emulation::enqueue(stream, [=] {
    const DeviceMemoryIsOpen open;
    for (std::size_t row = 0; row < height; ++row) {
      std::memset(static_cast<std::byte*>(to) + row * pitch, value, width);
    }
  });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
  *stream = new emulation::Stream{.late = is_late(streams_made++)};
  streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  execute_all(stream);
  streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream != nullptr && stream->capturing != nullptr) {
    return refuse_in_capture(stream->capturing);
  }
  if (stream != nullptr) execute_all(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (stream != nullptr && stream->capturing != nullptr) {
    return refuse_in_capture(stream->capturing);
  }
  if (streams_hang) return result(cudaErrorNotReady);
  if (stream != nullptr) execute_all(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned /*flags*/) {
  if (event->captured_in != stream->capturing) {
    // A graph cannot wait for what is outside it, but waiting for it draws a stream into it.
    if (stream->capturing != nullptr) {
      stream->capturing->invalid = true;
      return result(cudaErrorStreamCaptureIsolation);
    }
    stream->capturing = event->captured_in;
    stream->unjoined = true;
  }
  emulation::Graph* graph = stream->capturing;
  if (graph == nullptr) {
    emulation::enqueue(
        stream, [on = event->recorded_on, count = event->work_before] { execute(on, count); });
  } else if (stream == graph->origin && event->recorded_on != stream &&
             event->work_before == graph->work.size()) {
    event->recorded_on->unjoined = false;
  }
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  if (stream != nullptr && stream->capturing != nullptr) {
    *status = stream->capturing->invalid ? cudaStreamCaptureStatusInvalidated
                                         : cudaStreamCaptureStatusActive;
  }
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned /*flags*/) {
  *event = new emulation::Event;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->captured_in = stream != nullptr ? stream->capturing : nullptr;
  event->recorded_on = stream;
  event->work_before = 0;
  if (event->captured_in != nullptr) {
    event->work_before = event->captured_in->work.size();
  } else if (stream != nullptr) {
    event->work_before = stream->enqueued;
  }
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->captured_in != nullptr) return result(cudaErrorStreamCaptureUnsupported);
  execute(event->recorded_on, event->work_before);
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (streams_hang) return result(cudaErrorNotReady);
  return cudaEventSynchronize(event);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
  if (stream == nullptr || stream->capturing != nullptr) return result(cudaErrorInvalidValue);
  stream->capturing = new emulation::Graph{.work = {}, .origin = stream};
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  emulation::Graph* captured = stream->capturing;
  if (captured == nullptr || captured->origin != stream) return result(cudaErrorInvalidValue);
  bool unjoined = false;
  for (emulation::Stream* each : streams) {
    if (each->capturing != captured) continue;
    unjoined |= each->unjoined;
    each->unjoined = false;
    each->capturing = nullptr;
  }
  if (!captured->invalid && !unjoined) {
    *graph = captured;
    return cudaSuccess;
  }
  const cudaError_t error =
      captured->invalid ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnjoined;
  delete captured;
  return result(error);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long /*flags*/) {
  if (graphs_refused) return result(cudaErrorMemoryAllocation);
  *exec = new emulation::Graph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  ++launched_graphs;
  const DeviceMemoryIsOpen open;  // once for all of it
  for (const emulation::Work& work : exec->work) emulation::enqueue(stream, work);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute /*attribute*/, int value) {
  emulation::grant_shared_memory(kernel, static_cast<std::size_t>(value));
  return cudaSuccess;
}
