#include <fmt/format.h>

#include <variant>

#include "availability.hpp"
#include "communication.hpp"
#include "convolution_plan.hpp"
#include "device.hpp"
#include "kernels/kernels.hpp"
#include "memory.hpp"
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
  explicit CudaBackend(const CudaOptions& options) : device_(options) {
    constexpr double kGigabyte = 1e9;
    const cuda::DeviceProperties& p = device_.properties();
    info_ = {.name = "cuda",
             .description =
                 fmt::format("{}, device {}, compute capability {}.{}, {:.0f} GB, driver {}.{}",
                             p.name, p.index, p.compute_major, p.compute_minor,
                             static_cast<double>(p.memory_bytes) / kGigabyte,
                             p.driver_version / 1000, p.driver_version % 1000 / 10),
             .model = p.name,
             .libraries = cuda::library_versions(),
             .runs_ahead = true};
  }

  std::unique_ptr<Communicator> make_communicator(Communicator& ranks, Lane lane) override {
    return cuda::make_communicator(ranks, lane, device_);
  }

  [[nodiscard]] std::size_t storage_bytes(const TensorInfo& tensor) const override {
    return cuda::layout_of(tensor).stored_bytes();
  }
  void tune(const Program& program, const Plans& follow) override {
    device_.convolution_plans().prefer(follow);
    cuda::tune_convolutions(program, device_);
    info_.plans = device_.convolution_plans().choices();
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
  void enqueue_upload(const TensorInfo& tensor, std::byte* device, ConstBufferSpan host) override {
    cuda::enqueue_upload(tensor, device, host, device_);
    if (tensor.storage == Storage::parameters) {
      device_.shadows().refresh(device, cuda::layout_of(tensor).stored_bytes(), stream());
    }
  }
  void enqueue_download(const TensorInfo& tensor, const std::byte* device,
                        BufferSpan host) override {
    cuda::enqueue_download(tensor, device, host, device_);
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

  Prepared prepare(const Bindings& bindings) override {
    const cuda::Context context{{bindings}, device_};
    return std::visit([&](const auto& op) { return cuda::prepare(op, context); },
                      bindings.program->ops.at(bindings.op));
  }
  std::unique_ptr<Runner> make_runner(std::vector<Prepared> steps, std::vector<std::string> names,
                                      Workspace workspace) override {
    return cuda::make_runner(std::move(steps), std::move(names), workspace, device_);
  }
  void wait() override { device_.wait(stream()); }

 private:
  [[nodiscard]] cudaStream_t stream() { return device_.lanes().compute.get(); }

  cuda::Device device_;
};

}  // namespace

std::unique_ptr<Backend> cuda::make_backend(const CudaOptions& options) {
  return std::make_unique<CudaBackend>(options);
}

}  // namespace simclr
