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
#include <utility>
#include <vector>

#include "simclr/backend/input_stage.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/core/check.hpp"
#include "simclr/program/program.hpp"
#include "simclr/tensor/span.hpp"

namespace simclr {

/// Problem -> algorithm, wherever a backend chooses among several by measuring. The same plans on
/// the same device give the same bits.
using Plans = std::map<std::string, std::string>;

/// Scratch memory that all steps of a program share.
using Workspace = std::span<std::byte>;

/// An op made ready.
struct Prepared {
  std::size_t workspace_bytes = 0;  ///< scratch memory of the step
  /// Enqueues the op's work on the device, in program order; allocates nothing and, on an
  /// accelerator, does not wait. The workspace holds at least workspace_bytes, aligned to 64 bytes,
  /// and is the same in every call.
  std::function<void(Workspace workspace)> step;
  /// False where the step cannot be part of a device graph (host-staged communication).
  bool capturable = true;
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

/// What an op is prepared with.
struct Bindings {
  const Program* program = nullptr;
  std::size_t op = 0;  ///< index of the op in the program
  /// Memory of a tensor, the same for the life of the step. Empty where only Prepared's
  /// workspace_bytes is wanted.
  std::function<std::byte*(TensorId)> address;
  Communicator* world = nullptr;          ///< compute lane
  Communicator* bn_group = nullptr;       ///< ranks that share BN statistics
  Communicator* gradient_lane = nullptr;  ///< communication lane: gradient buckets only
};

/// What a communicator of a backend is for. Each lane has its own, so that messages never mix.
enum class Lane : std::uint8_t {
  compute,    ///< between ops, on the critical path
  gradients,  ///< gradient buckets, beside the ops
};

struct BackendInfo {
  std::string name;         ///< "cpu" or "cuda"
  std::string description;  ///< one line for people: the processor or GPU, its memory, its driver
  std::string model;        ///< the processor's or the GPU's product name
  std::string libraries;    ///< the libraries that compute, with their versions
  bool runs_ahead = false;  ///< Runner::run returns before the work is done
  Plans plans;              ///< chosen so far, by tune()
};

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  [[nodiscard]] const BackendInfo& info() const { return info_; }
  /// The communicator that ops of this lane use over the ranks of `ranks` (collective).
  virtual std::unique_ptr<Communicator> make_communicator(Communicator& ranks, Lane lane) = 0;

  // Before the program has memory.
  [[nodiscard]] virtual std::size_t storage_bytes(const TensorInfo& tensor) const = 0;
  /// Chooses the algorithms of the program's ops, measuring where the backend has several and knows
  /// no earlier choice. From now on choices follow `follow` where they can. Throws
  /// OutOfDeviceMemory, whose purpose names the op, where there is no room to measure.
  virtual void tune(const Program& /*program*/, const Plans& /*follow*/) {}

  // Memory. The host side is always the canonical layout, in the tensor's dtype or in f32.
  virtual Buffer allocate(std::size_t bytes) = 0;
  /// Host memory from which copies to the device are fastest.
  virtual Buffer allocate_host(std::size_t bytes) = 0;
  /// Every element of the range becomes NaN: reading what nothing has written shows.
  virtual void poison(std::span<std::byte> memory) = 0;
  /// Copies in their turn among what is run. Without waiting, where the tensor has no padding and
  /// `host` is of its dtype, in memory of allocate_host(); the host memory then is the backend's
  /// until a milestone that is set afterwards is reached.
  virtual void enqueue_upload(const TensorInfo& tensor, std::byte* device,
                              ConstBufferSpan host) = 0;
  virtual void enqueue_download(const TensorInfo& tensor, const std::byte* device,
                                BufferSpan host) = 0;
  /// The same from and to any host memory; on return the copy is done.
  void upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host) {
    wait();
    enqueue_upload(tensor, device, host);
    wait();
  }
  void download(const TensorInfo& tensor, const std::byte* device, BufferSpan host) {
    wait();
    enqueue_download(tensor, device, host);
    wait();
  }
  virtual std::unique_ptr<Milestone> make_milestone() = 0;
  /// Stages these inputs, through memory of its own beside theirs where the device has its own.
  virtual std::unique_ptr<InputStage> make_input_stage(std::vector<InputTensor> inputs) = 0;

  /// Whether every one of `count` f32 values (a flat buffer's) is finite.
  [[nodiscard]] virtual bool all_finite(const std::byte* values, std::size_t count) = 0;
  /// hash64 of the same.
  [[nodiscard]] virtual std::uint64_t hash(const std::byte* values, std::size_t count) = 0;

  /// Makes the op `bindings` name ready.
  virtual Prepared prepare(const Bindings& bindings) = 0;
  /// `names`, one for each step, are for people: profilers and messages.
  virtual std::unique_ptr<Runner> make_runner(std::vector<Prepared> steps,
                                              std::vector<std::string> names,
                                              Workspace workspace) = 0;
  /// Returns when everything that was run is done.
  virtual void wait() = 0;

 protected:
  BackendInfo info_;
};

}  // namespace simclr
