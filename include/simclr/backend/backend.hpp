#pragma once
// The whole device contract. A backend is asked once per op to prepare it; running is a loop over
// the prepared steps.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "simclr/backend/input_stage.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"
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

/// Runs ranges of steps. A device may capture a range when it meets it again: the fewer different
/// ranges, the better.
class Runner {
 public:
  Runner() = default;
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  virtual ~Runner() = default;
  /// Steps [begin, end) in order. On a device this enqueues them; what is downloaded, uploaded or
  /// run later on the same backend comes after them.
  virtual void run(std::size_t begin, std::size_t end) = 0;
};

/// A point in what a backend is given to run.
class Milestone {
 public:
  Milestone() = default;
  Milestone(const Milestone&) = delete;
  Milestone& operator=(const Milestone&) = delete;
  virtual ~Milestone() = default;
  /// Here: after all that the backend was given so far. May be called again.
  virtual void set() = 0;
  /// Returns when the point last set is reached; what was given later may still be under way.
  virtual void wait() = 0;
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

/// The device has less memory than is asked for.
class OutOfDeviceMemory : public Error {
 public:
  OutOfDeviceMemory(std::size_t asked, std::size_t free, std::string what,
                    const std::string& message)
      : Error(message), asked_bytes(asked), free_bytes(free), purpose(std::move(what)) {}
  std::size_t asked_bytes;  ///< 0 where a library or the driver does not say
  std::size_t free_bytes;
  std::string purpose;  ///< what the memory is for
};

/// What a step binds to: addresses, scratch memory, communicators.
struct Bindings {
  const Program* program = nullptr;
  std::size_t op = 0;  ///< of the program: the one that is bound
  std::function<std::byte*(TensorId)> address;
  std::span<std::byte> workspace;         ///< shared by all ops; at least workspace_bytes(op)
  Communicator* world = nullptr;          ///< compute lane
  Communicator* bn_group = nullptr;       ///< ranks that share BN statistics
  Communicator* gradient_lane = nullptr;  ///< communication lane: gradient buckets only
};

/// What a communicator of a backend is for. Each lane has its own, so that messages never mix.
enum class Lane : std::uint8_t {
  compute,    ///< between ops, on the critical path
  gradients,  ///< gradient buckets, beside the ops
};

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  /// One line for people: the processor or the GPU, its memory, its driver.
  [[nodiscard]] virtual std::string description() const = 0;
  /// The processor's or the GPU's product name.
  [[nodiscard]] virtual std::string model() const = 0;
  /// The libraries that compute, with their versions.
  [[nodiscard]] virtual std::string libraries() const = 0;
  /// Whether activations may be of this type.
  [[nodiscard]] virtual bool supports(DType activations) const = 0;
  /// The communicator that ops of this lane use over the ranks of `ranks` (collective).
  virtual std::unique_ptr<Communicator> make_communicator(Communicator& ranks, Lane lane) = 0;

  // Before planning.
  [[nodiscard]] virtual std::size_t storage_bytes(const TensorInfo& tensor) const = 0;
  [[nodiscard]] virtual std::size_t workspace_bytes(const Program& program, const Op& op) = 0;

  // Memory. The host side is always the canonical layout, in the tensor's dtype or in f32.
  virtual Buffer allocate(std::size_t bytes) = 0;
  /// Host memory from which copies to the device are fastest.
  virtual Buffer allocate_host(std::size_t bytes) = 0;
  /// Every element of the range becomes NaN: what is read before it was written is seen.
  virtual void poison(std::span<std::byte> memory) = 0;
  virtual void upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host) = 0;
  virtual void download(const TensorInfo& tensor, const std::byte* device, BufferSpan host) = 0;
  /// The same in their turn among what is run, without waiting, for tensors without padding.
  /// `host` is of the tensor's dtype, in memory of allocate_host(), and the backend's own until a
  /// milestone that is set afterwards is reached.
  virtual void enqueue_upload(const TensorInfo& tensor, std::byte* device,
                              ConstBufferSpan host) = 0;
  virtual void enqueue_download(const TensorInfo& tensor, const std::byte* device,
                                BufferSpan host) = 0;
  virtual std::unique_ptr<Milestone> make_milestone() = 0;

  /// Stages these inputs, through memory of its own beside theirs where the device has its own.
  virtual std::unique_ptr<InputStage> make_input_stage(std::vector<InputTensor> inputs) = 0;

  /// Whether every one of `count` f32 values (a flat buffer's) is finite.
  [[nodiscard]] virtual bool all_finite(const std::byte* values, std::size_t count) = 0;
  /// hash64 of the same.
  [[nodiscard]] virtual std::uint64_t hash(const std::byte* values, std::size_t count) = 0;

  virtual std::unique_ptr<Step> prepare(const Op& op, const Bindings& bindings) = 0;
  /// `names`, one for each step, are for people: profilers and messages.
  virtual std::unique_ptr<Runner> make_runner(std::vector<std::unique_ptr<Step>> steps,
                                              std::vector<std::string> names) = 0;

  /// Whether Runner::run returns before the work is done.
  [[nodiscard]] virtual bool runs_ahead() const = 0;
  /// Returns when everything that was run is done.
  virtual void wait() = 0;

  /// Problem -> algorithm, wherever this backend has chosen among several by measuring; empty where
  /// it never does. The same plans on the same device give the same bits.
  [[nodiscard]] virtual std::map<std::string, std::string> plans() const { return {}; }
  /// Plans to take, where they can be, by what is prepared from now on.
  virtual void prefer_plans(const std::map<std::string, std::string>& /*plans*/) {}
};

}  // namespace simclr
