#include "device.hpp"

#include <cstdlib>

#include "availability.hpp"
#include "convolution_plan.hpp"
#include "kernels/kernels.hpp"
#include "memory.hpp"

namespace simclr::cuda {

namespace {

constexpr int kOldestCapability = 8;

DeviceProperties properties_of(int index) {
  cudaDeviceProp found{};
  check(cudaGetDeviceProperties(&found, index), "ask for the device's properties");
  DeviceProperties properties{.name = found.name,
                              .index = index,
                              .compute_major = found.major,
                              .compute_minor = found.minor,
                              .multiprocessors = found.multiProcessorCount,
                              .memory_bytes = found.totalGlobalMem};
  check(cudaDriverGetVersion(&properties.driver_version), "ask for the driver's version");
  return properties;
}

}  // namespace

int choose_device(const CudaOptions& options, int visible) {
  const bool may_share = options.share_device || options.collectives == Collectives::mpi;
  if (options.local_ranks > visible && visible > 1 && !may_share) {
    const char* shown = std::getenv("CUDA_VISIBLE_DEVICES");
    refuse(
        "{} ranks on a node, and this one sees {} GPUs{}: start one rank a GPU, or give "
        "--share-device to put several ranks on one",
        options.local_ranks, visible,
        shown != nullptr ? fmt::format(" (CUDA_VISIBLE_DEVICES={})", shown) : "");
  }
  return options.local_rank % visible;
}

std::string why_no_device() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  (void)cudaGetLastError();
  if (status == cudaErrorInsufficientDriver) {
    int driver = 0;
    int runtime = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    if (driver == 0) return "no CUDA driver is installed on this machine";
    return fmt::format(
        "the driver supports CUDA {}.{}, this program needs {}.{}: update the driver",
        driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
  }
  if (status == cudaErrorNoDevice || (status == cudaSuccess && devices == 0)) {
    return "no CUDA device is visible (see nvidia-smi and CUDA_VISIBLE_DEVICES)";
  }
  if (status != cudaSuccess) {
    return fmt::format("CUDA cannot be used: {}", cudaGetErrorString(status));
  }
  return "";
}

Device::Device(const CudaOptions& options) : options_(options), watch_(options.timeout_seconds) {
  int visible = 0;
  check(cudaGetDeviceCount(&visible), "count the devices");
  const int index = choose_device(options, visible);
  check(cudaSetDevice(index), "choose a device");
  properties_ = properties_of(index);
  if (properties_.compute_major < kOldestCapability) {
    refuse("device {} ({}) has compute capability {}.{}: 8.0 (A100) or newer is needed", index,
           properties_.name, properties_.compute_major, properties_.compute_minor);
  }
  lanes_ = std::make_unique<Lanes>();
  libraries_ = start_libraries(lanes_->compute.get());
  convolution_plans_ = std::make_unique<ConvolutionPlans>(*this);
}

Device::~Device() = default;

std::byte* WeightShadows::find_or_make(const std::byte* masters, std::int64_t elements, DType dtype,
                                       cudaStream_t stream) {
  Entry& entry = entries_[masters];
  const auto bytes = static_cast<std::size_t>(elements) * size_in_bytes(dtype);
  if (entry.copy.data() == nullptr || entry.elements != elements || entry.dtype != dtype) {
    entry = {.elements = elements,
             .dtype = dtype,
             .copy = allocate_device(bytes, "a 16-bit copy of the weights")};
    convert(reinterpret_cast<const float*>(masters), entry.copy.data(), elements, dtype, stream);
  }
  return entry.copy.data();
}

const WeightShadows::Entry* WeightShadows::find(const std::byte* masters) const {
  const auto found = entries_.find(masters);
  const bool made = found != entries_.end() && found->second.copy.data() != nullptr;
  return made ? &found->second : nullptr;
}

void WeightShadows::refresh(const std::byte* first, std::size_t bytes, cudaStream_t stream) {
  for (const auto& [masters, entry] : entries_) {
    const std::byte* end = masters + entry.elements * static_cast<std::int64_t>(sizeof(float));
    if (masters < first + bytes && first < end) {
      convert(reinterpret_cast<const float*>(masters), entry.copy.data(), entry.elements,
              entry.dtype, stream);
    }
  }
}

}  // namespace simclr::cuda
