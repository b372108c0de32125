#pragma once
// A program made ready on a backend: planned, allocated, prepared, runnable.

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "simclr/backend/backend.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/program/planner.hpp"

namespace simclr {

/// The communicators a program's ops use; all null for a program without communication.
struct Communicators {
  Communicator* world = nullptr;
  Communicator* bn_group = nullptr;
  Communicator* gradient_lane = nullptr;
};

struct ExecutorOptions {
  std::vector<TensorId> keep;  ///< arena tensors to be downloaded after a run
  bool poison_arena = false;   ///< fill the arena with NaN before the first run (tests)
  bool stage_inputs = false;   ///< inputs come by stage() and commit(), which take memory on a GPU
};

/// Statistics of one tensor after one op (--trace-ops).
struct TensorTrace {
  std::size_t op = 0;
  std::string op_name, tensor_name;
  float minimum = 0, maximum = 0;
  double mean = 0;
  std::int64_t not_finite = 0;
};

/// Scratch memory that the ops of a program share, found without any memory for the program.
std::size_t workspace_bytes(const Program& program, Backend& backend);

/// Outputs begin as zeros.
class Executor {
 public:
  Executor(Program program, Backend& backend, Communicators communicators,
           const ExecutorOptions& options = {});

  [[nodiscard]] const Program& program() const { return program_; }
  [[nodiscard]] const ArenaPlan& plan() const { return plan_; }
  [[nodiscard]] MemoryReport memory() const;

  void upload(TensorId tensor, ConstBufferSpan host);
  void download(TensorId tensor, BufferSpan host) const;
  /// See Backend: in their turn among what is run, without waiting.
  void enqueue_upload(TensorId tensor, ConstBufferSpan host);
  void enqueue_download(TensorId tensor, BufferSpan host) const;
  /// The next step's values of an input tensor, in its own type: brought over while the step before
  /// runs (ExecutorOptions::stage_inputs). The host memory stays as it is until commit().
  void stage(TensorId input, ConstBufferSpan host);
  /// What was staged is what runs from now on read. Every input was staged since the last commit();
  /// or none, and the values of that time, whose host memory is as it was, come again.
  void commit();
  /// The tensor in canonical layout as f32 (f64 for f64 tensors is rounded).
  [[nodiscard]] std::vector<float> values(TensorId tensor) const;
  /// A whole flat buffer (parameters, gradients, momentum, second_moment, running), f32.
  [[nodiscard]] std::vector<float> flat(Storage storage) const;
  void set_flat(Storage storage, std::span<const float> values);
  /// A part of a flat buffer, from element `first` on.
  void read_flat(Storage storage, std::int64_t first, std::span<float> values) const;
  void write_flat(Storage storage, std::int64_t first, std::span<const float> values);
  /// Whether there is such a flat buffer: not every optimizer has moments.
  [[nodiscard]] bool holds(Storage storage) const;
  /// XXH3 of a flat buffer: equal on every backend where the values are equal bit for bit.
  [[nodiscard]] std::uint64_t hash(Storage storage) const;
  /// Whether a flat buffer holds no infinity and no NaN, without moving it to the host.
  [[nodiscard]] bool all_finite(Storage storage) const;

  void run_forward() { run(0, program_.backward_begin); }
  void run_backward() { run(program_.backward_begin, program_.update_begin); }
  void run_update() { run(program_.update_begin, program_.ops.size()); }
  void run(std::size_t begin, std::size_t end);
  void run_all() { run(0, program_.ops.size()); }
  /// Returns when everything that was run is done.
  void wait() { backend_->wait(); }

  /// Runs [begin, end) op by op and reports every written tensor.
  void run_traced(std::size_t begin, std::size_t end,
                  const std::function<void(const TensorTrace&)>& report);

 private:
  [[nodiscard]] std::byte* address(TensorId tensor) const;
  void make_input_stage();
  [[nodiscard]] TensorInfo flat_info(Storage storage) const;
  [[nodiscard]] TensorInfo flat_part(Storage storage, std::int64_t first, std::int64_t count) const;
  [[nodiscard]] std::byte* flat_address(const TensorInfo& part) const;
  void set_zero(TensorId tensor);
  void set_flat_zero(Storage storage);

  Program program_;
  Backend* backend_;
  ArenaPlan plan_;
  Buffer arena_, workspace_;
  std::map<Storage, Buffer> flat_;
  std::map<TensorId, Buffer> own_;   // input, control and output tensors
  std::map<TensorId, bool> staged_;  // inputs, and whether they were staged since commit()
  bool committed_ = false;
  std::unique_ptr<InputStage> input_stage_;
  Activity::Names op_names_;
  std::unique_ptr<Runner> runner_;
};

}  // namespace simclr
