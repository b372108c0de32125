#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <variant>

#include "input_stage.hpp"
#include "kernels/table.hpp"
#include "memory.hpp"
#include "onednn.hpp"
#include "runner.hpp"
#include "simclr/backend/registry.hpp"
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

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(int threads) : threads_(threads > 0 ? threads : omp_get_num_procs()) {
    (void)kernels::table();  // refuses a wrong SIMCLR_CPU_ISA here, not within a parallel region
  }

  [[nodiscard]] std::string_view name() const override { return "cpu"; }
  [[nodiscard]] std::string description() const override {
    return fmt::format("CPU ({}, {}), {} thread{}", processor_name(), kernels::table().name,
                       threads_, threads_ == 1 ? "" : "s");
  }
  [[nodiscard]] std::string model() const override { return processor_name(); }
  [[nodiscard]] std::string libraries() const override { return cpu::OneDnn::version(); }
  [[nodiscard]] bool supports(DType activations) const override {
    return activations == DType::f32 || activations == DType::bf16;
  }
  std::unique_ptr<Communicator> make_communicator(Communicator& ranks, Lane /*lane*/) override {
    return ranks.duplicate();
  }

  [[nodiscard]] std::size_t storage_bytes(const TensorInfo& tensor) const override {
    return cpu::layout_of(tensor).stored_bytes();
  }

  [[nodiscard]] std::size_t workspace_bytes(const Program& program, const Op& op) override {
    omp_set_num_threads(threads_);  // oneDNN sizes scratch memory for the threads it sees
    const cpu::SizingContext context{.program = program, .threads = threads_, .onednn = onednn_};
    return std::visit([&](const auto& o) { return cpu::workspace_of(o, context); }, op);
  }

  Buffer allocate(std::size_t bytes) override { return cpu::allocate(bytes); }
  Buffer allocate_host(std::size_t bytes) override { return cpu::allocate(bytes); }
  void poison(std::span<std::byte> memory) override {
    std::memset(memory.data(), 0xFF, memory.size());  // a NaN in every floating-point type
  }
  void upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host) override {
    cpu::upload(tensor, device, host);
  }
  void download(const TensorInfo& tensor, const std::byte* device, BufferSpan host) override {
    cpu::download(tensor, device, host);
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
    return cpu::make_input_stage(std::move(inputs));
  }

  [[nodiscard]] bool all_finite(const std::byte* values, std::size_t count) override {
    omp_set_num_threads(threads_);
    return cpu::all_finite(values, count);
  }
  [[nodiscard]] std::uint64_t hash(const std::byte* values, std::size_t count) override {
    return hash64({values, count * sizeof(float)});
  }

  std::unique_ptr<Step> prepare(const Op& op, const Bindings& bindings) override {
    omp_set_num_threads(threads_);
    const cpu::StepContext context{
        .bindings = bindings, .threads = threads_, .onednn = onednn_, .pending = pending_};
    return std::visit([&](const auto& o) { return cpu::prepare_step(o, context); }, op);
  }

  std::unique_ptr<Runner> make_runner(std::vector<std::unique_ptr<Step>> steps,
                                      std::vector<std::string> /*names*/) override {
    return cpu::make_runner(std::move(steps), threads_, pending_);
  }
  [[nodiscard]] bool runs_ahead() const override { return false; }
  void wait() override {}

 private:
  int threads_;
  cpu::OneDnn onednn_;
  cpu::PendingGradients pending_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(int threads) {
  return std::make_unique<CpuBackend>(threads);
}

}  // namespace simclr
