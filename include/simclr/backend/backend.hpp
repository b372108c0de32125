#pragma once
// The whole device contract. A backend is asked once per op to prepare it; running is a loop over
// the prepared steps.

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "simclr/comm/communicator.hpp"
#include "simclr/program/program.hpp"
#include "simclr/tensor/span.hpp"

namespace simclr {

/// An op made ready: enqueues its work on the device in program order; allocates nothing and, on an
/// accelerator, does not wait.
class Step {
 public:
  Step() = default;
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;
  virtual ~Step() = default;
  virtual void run() = 0;
  /// False where the step cannot be part of a device graph (host-staged communication).
  [[nodiscard]] virtual bool capturable() const { return true; }
};

/// Runs ranges of steps; ranges must be the same from call to call where a device captures them.
class Runner {
 public:
  Runner() = default;
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  virtual ~Runner() = default;
  /// Steps [begin, end) in order; returns when their results can be downloaded.
  virtual void run(std::size_t begin, std::size_t end) = 0;
};

/// Owned memory of a backend, aligned to at least 64 bytes.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::byte* data, std::size_t bytes, std::function<void(std::byte*)> release)
      : data_(data, std::move(release)), bytes_(bytes) {}
  [[nodiscard]] std::byte* data() const { return data_.get(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<std::byte, std::function<void(std::byte*)>> data_{nullptr, [](std::byte*) {}};
  std::size_t bytes_ = 0;
};

/// What a step binds to: addresses, scratch memory, communicators.
struct Bindings {
  const Program* program = nullptr;
  std::function<std::byte*(TensorId)> address;
  std::span<std::byte> workspace;         ///< shared by all ops; at least workspace_bytes(op)
  Communicator* world = nullptr;          ///< compute lane
  Communicator* bn_group = nullptr;       ///< ranks that share BN statistics
  Communicator* gradient_lane = nullptr;  ///< communication lane: gradient buckets only
};

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;

  // Before planning.
  [[nodiscard]] virtual std::size_t storage_bytes(const TensorInfo& tensor) const = 0;
  [[nodiscard]] virtual std::size_t workspace_bytes(const Program& program, const Op& op) = 0;

  // Memory. The host side is always the canonical layout, in the tensor's dtype or in f32.
  virtual Buffer allocate(std::size_t bytes) = 0;
  /// Every element of the range becomes NaN: what is read before it was written is seen.
  virtual void poison(std::span<std::byte> memory) = 0;
  virtual void upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host) = 0;
  virtual void download(const TensorInfo& tensor, const std::byte* device, BufferSpan host) = 0;

  /// Whether every one of `count` f32 values (a flat buffer's) is finite.
  [[nodiscard]] virtual bool all_finite(const std::byte* values, std::size_t count) = 0;

  virtual std::unique_ptr<Step> prepare(const Op& op, const Bindings& bindings) = 0;
  virtual std::unique_ptr<Runner> make_runner(std::vector<std::unique_ptr<Step>> steps) = 0;
};

/// The CPU backend with this many threads (0: all that the process may use).
std::unique_ptr<Backend> make_cpu_backend(int threads);

/// Whether the CPU has native bf16 arithmetic (avx512_bf16 or better).
bool cpu_has_native_bf16();

}  // namespace simclr
