#include <fmt/format.h>

#include <variant>

#include "availability.hpp"
#include "communication.hpp"
#include "convolution_plans.hpp"
#include "device.hpp"
#include "input_stage.hpp"
#include "kernels/finite.hpp"
#include "libraries.hpp"
#include "memory.hpp"
#include "runner.hpp"
#include "simclr/core/hash.hpp"
#include "steps.hpp"

namespace simclr {

namespace {

class DeviceMilestone final : public Milestone {
 public:
  explicit DeviceMilestone(cuda::Device& device) : device_(device) {}
  void set() override { event_.record(device_.stream(Lane::compute)); }
  void wait() override { device_.wait(event_); }

 private:
  cuda::Device& device_;
  cuda::Event event_;
};

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options) : device_(options) {}

  [[nodiscard]] std::string_view name() const override { return "cuda"; }
  [[nodiscard]] std::string description() const override {
    constexpr double kGigabyte = 1e9;
    const cuda::DeviceProperties& p = device_.properties();
    return fmt::format("{}, device {}, compute capability {}.{}, {:.0f} GB, driver {}.{}", p.name,
                       p.index, p.compute_major, p.compute_minor,
                       static_cast<double>(p.memory_bytes) / kGigabyte, p.driver_version / 1000,
                       p.driver_version % 1000 / 10);
  }
  [[nodiscard]] std::string model() const override { return device_.properties().name; }
  [[nodiscard]] std::string libraries() const override { return cuda::Libraries::versions(); }
  [[nodiscard]] bool supports(DType activations) const override {
    return activations == DType::f32 || activations == DType::bf16 || activations == DType::f16;
  }
  std::unique_ptr<Communicator> make_communicator(Communicator& ranks, Lane lane) override {
    return cuda::make_communicator(ranks, lane, device_);
  }

  [[nodiscard]] std::size_t storage_bytes(const TensorInfo& tensor) const override {
    return cuda::layout_of(tensor).stored_bytes();
  }
  [[nodiscard]] std::size_t workspace_bytes(const Program& program, const Op& op) override {
    const cuda::SizingContext context{.program = program, .device = device_};
    return std::visit([&](const auto& o) { return cuda::workspace_of(o, context); }, op);
  }

  Buffer allocate(std::size_t bytes) override {
    Buffer memory = cuda::allocate_device(bytes, "a buffer");
    std::byte* data = memory.data();
    return {data, bytes, [this, held = std::make_shared<Buffer>(std::move(memory))](std::byte* at) {
              device_.shadows().forget(at);
            }};
  }
  Buffer allocate_host(std::size_t bytes) override {
    // Loader threads call this too; without a device of their own they would wake the first one.
    cuda::check(cudaSetDevice(device_.properties().index), "choose the device");
    return cuda::allocate_pinned(bytes, "what the device copies");
  }
  void poison(std::span<std::byte> memory) override {
    if (memory.empty()) return;
    // A NaN in every floating-point type.
    cuda::check(cudaMemsetAsync(memory.data(), 0xFF, memory.size(), stream()), "fill with NaN");
  }
  void upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host) override {
    cuda::upload(tensor, device, host, device_);
    if (tensor.storage == Storage::parameters) {
      device_.shadows().refresh(device, cuda::layout_of(tensor).stored_bytes(), stream());
    }
  }
  void download(const TensorInfo& tensor, const std::byte* device, BufferSpan host) override {
    cuda::download(tensor, device, host, device_);
  }
  void enqueue_upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host) override {
    cuda::enqueue_upload(tensor, device, host, stream());
  }
  void enqueue_download(const TensorInfo& tensor, const std::byte* device,
                        BufferSpan host) override {
    cuda::enqueue_download(tensor, device, host, stream());
  }
  std::unique_ptr<Milestone> make_milestone() override {
    return std::make_unique<DeviceMilestone>(device_);
  }
  std::unique_ptr<InputStage> make_input_stage(std::vector<InputTensor> inputs) override {
    return cuda::make_input_stage(std::move(inputs), device_);
  }

  [[nodiscard]] bool all_finite(const std::byte* values, std::size_t count) override {
    device_.wait(stream());
    return cuda::all_finite(reinterpret_cast<const float*>(values), count, stream());
  }
  [[nodiscard]] std::uint64_t hash(const std::byte* values, std::size_t count) override {
    std::vector<float> copy(count);
    const TensorInfo flat{
        "flat buffer", {static_cast<std::int64_t>(count)}, DType::f32, Storage::running, 0};
    download(flat, values, buffer_span(std::span(copy)));
    return hash64(std::as_bytes(std::span(copy)));
  }

  std::unique_ptr<Step> prepare(const Op& op, const Bindings& bindings) override {
    const cuda::StepContext context{.bindings = bindings, .device = device_};
    return std::visit([&](const auto& o) { return cuda::prepare_step(o, context); }, op);
  }
  std::unique_ptr<Runner> make_runner(std::vector<std::unique_ptr<Step>> steps,
                                      std::vector<std::string> names) override {
    return cuda::make_runner(std::move(steps), std::move(names), device_);
  }
  [[nodiscard]] bool runs_ahead() const override { return true; }
  void wait() override { device_.wait(stream()); }

  [[nodiscard]] std::map<std::string, std::string> plans() const override {
    return device_.convolution_plans().choices();
  }
  void prefer_plans(const std::map<std::string, std::string>& plans) override {
    device_.convolution_plans().prefer(plans);
  }

 private:
  [[nodiscard]] cudaStream_t stream() { return device_.lanes().compute.get(); }

  cuda::Device device_;
};

}  // namespace

std::unique_ptr<Backend> cuda::make_backend(const CudaOptions& options) {
  return std::make_unique<CudaBackend>(options);
}

}  // namespace simclr
