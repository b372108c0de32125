#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <variant>

#include "kernels/table.hpp"
#include "layout.hpp"
#include "onednn.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/hash.hpp"
#include "steps.hpp"

namespace simclr {

namespace {

std::string processor_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

/// What is run here is done when run() returns.
class ReachedMilestone final : public Milestone {
 public:
  void set() override {}
  void wait() override {}
};

/// The host's memory is the device's: a batch waits where it is until its step begins.
class HostInputStage final : public InputStage {
 public:
  explicit HostInputStage(std::vector<InputTensor> inputs) {
    for (InputTensor& input : inputs) staged_[input.id].tensor = std::move(input);
  }
  void stage(TensorId input, ConstBufferSpan host) override { staged_.at(input).host = host; }
  void commit() override {
    for (const auto& [id, staged] : staged_) {
      cpu::upload(staged.tensor.info, staged.tensor.address, staged.host);
    }
  }

 private:
  struct Staged {
    InputTensor tensor;
    ConstBufferSpan host;
  };
  std::map<TensorId, Staged> staged_;
};

/// Runs steps one after the other; between them pending gradient sums advance, because
/// MPI moves data only inside its calls.
class CpuRunner final : public Runner {
 public:
  CpuRunner(std::vector<Prepared> steps, Workspace workspace, int threads,
            const cpu::PendingGradients& pending)
      : steps_(std::move(steps)), workspace_(workspace), threads_(threads), pending_(&pending) {}

  void run(std::size_t begin, std::size_t end) override {
    require(begin <= end && end <= steps_.size(), "steps to run exist");
    omp_set_num_threads(threads_);  // a property of the calling thread
    for (std::size_t i = begin; i < end; ++i) {
      activity().at_op(i);
      steps_[i].step(workspace_);
      if (pending_->lane != nullptr) pending_->lane->progress();
    }
  }

 private:
  std::vector<Prepared> steps_;
  Workspace workspace_;
  int threads_;
  const cpu::PendingGradients* pending_;
};

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(int threads) : threads_(threads > 0 ? threads : omp_get_num_procs()) {
    info_ = {.name = "cpu",
             // kernels::table() refuses a wrong SIMCLR_CPU_ISA here, not within a parallel region.
             .description = fmt::format("CPU ({}, {}), {} thread{}", processor_name(),
                                        kernels::table().name, threads_, threads_ == 1 ? "" : "s"),
             .model = processor_name(),
             .libraries = cpu::OneDnn::version()};
  }

  std::unique_ptr<Communicator> make_communicator(Communicator& ranks, Lane /*lane*/) override {
    return ranks.duplicate();
  }

  [[nodiscard]] std::size_t storage_bytes(const TensorInfo& tensor) const override {
    return cpu::layout_of(tensor).stored_bytes();
  }

  Buffer allocate(std::size_t bytes) override { return cpu::allocate(bytes); }
  Buffer allocate_host(std::size_t bytes) override { return cpu::allocate(bytes); }
  void poison(std::span<std::byte> memory) override {
    std::memset(memory.data(), 0xFF, memory.size());  // a NaN in every floating-point type
  }
  void enqueue_upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host) override {
    cpu::upload(tensor, device, host);
  }
  void enqueue_download(const TensorInfo& tensor, const std::byte* device,
                        BufferSpan host) override {
    cpu::download(tensor, device, host);
  }
  std::unique_ptr<Milestone> make_milestone() override {
    return std::make_unique<ReachedMilestone>();
  }

  std::unique_ptr<InputStage> make_input_stage(std::vector<InputTensor> inputs) override {
    return std::make_unique<HostInputStage>(std::move(inputs));
  }

  [[nodiscard]] bool all_finite(const std::byte* values, std::size_t count) override {
    omp_set_num_threads(threads_);
    return cpu::all_finite(values, count);
  }
  [[nodiscard]] std::uint64_t hash(const std::byte* values, std::size_t count) override {
    return hash64({values, count * sizeof(float)});
  }

  Prepared prepare(const Bindings& bindings) override {
    omp_set_num_threads(threads_);  // oneDNN sizes scratch memory for the threads it sees
    const cpu::Context context{{bindings}, threads_, onednn_, pending_};
    return std::visit([&](const auto& op) { return cpu::prepare(op, context); },
                      bindings.program->ops.at(bindings.op));
  }

  std::unique_ptr<Runner> make_runner(std::vector<Prepared> steps,
                                      std::vector<std::string> /*names*/,
                                      Workspace workspace) override {
    return std::make_unique<CpuRunner>(std::move(steps), workspace, threads_, pending_);
  }
  void wait() override {}

 private:
  int threads_;
  cpu::OneDnn onednn_;
  cpu::PendingGradients pending_;
};

}  // namespace

// What oneDNN may use decides, not only what the CPU offers: DNNL_MAX_CPU_ISA can narrow it.
bool cpu_has_native_bf16() {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  return isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
}

std::unique_ptr<Backend> make_cpu_backend(int threads) {
  return std::make_unique<CpuBackend>(threads);
}

}  // namespace simclr
