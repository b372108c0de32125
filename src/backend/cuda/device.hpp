#pragma once
// One GPU as its backend uses it: streams, library handles, 16-bit copies of the weights.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "matrix_product.hpp"
#include "runtime.hpp"
#include "simclr/backend/registry.hpp"
#include "watch.hpp"

namespace simclr::cuda {

struct Libraries;        // cuDNN and cuBLASLt handles; libraries.hpp
class ConvolutionPlans;  // chosen algorithms; convolution_plan.hpp

/// Which of the `visible` devices a rank takes: rank i of a node takes device i; several ranks take
/// one only where that is asked for, or where each rank is shown a single device, which may be its
/// own (make_communicator knows once the ranks can talk). Throws RefusedError.
int choose_device(const CudaOptions& options, int visible);

/// cuDNN's work is enqueued on `stream`.
std::shared_ptr<Libraries> start_libraries(cudaStream_t stream);
/// "cuDNN 9.19.0, cuBLASLt 13.1.0, CUDA 13.0".
std::string library_versions();

/// What a device is, as far as kernels and people care.
struct DeviceProperties {
  std::string name;
  int index = 0;  ///< among the devices that this process sees
  int compute_major = 0, compute_minor = 0;
  int multiprocessors = 1;
  std::size_t memory_bytes = 0;
  int driver_version = 0;  ///< 13000 is 13.0
};

/// 16-bit copies of a flat parameter buffer, element for element: what convolutions read. Made when
/// the first op asks, filled from the masters; updates and uploads write both.
class WeightShadows {
 public:
  /// The copy in `dtype` (bf16 or f16) of the flat f32 buffer of `elements` that starts at
  /// `masters`.
  std::byte* find_or_make(const std::byte* masters, std::int64_t elements, DType dtype,
                          cudaStream_t stream);
  struct Entry {
    std::int64_t elements = 0;
    DType dtype = DType::bf16;
    Buffer copy;
  };
  /// Null: nobody reads 16-bit weights of this buffer.
  [[nodiscard]] const Entry* find(const std::byte* masters) const;
  /// The masters in [first, first + bytes) have changed from outside a program.
  void refresh(const std::byte* first, std::size_t bytes, cudaStream_t stream);
  /// The buffer that starts at `masters` is about to be freed.
  void forget(const std::byte* masters) { entries_.erase(masters); }

 private:
  std::map<const std::byte*, Entry> entries_;
};

class Device {
 public:
  /// Makes the device current for the calling thread. Throws RefusedError where there is none, it
  /// is too old (compute capability below 8.0) or its driver is.
  explicit Device(const CudaOptions& options);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device();

  [[nodiscard]] const DeviceProperties& properties() const { return properties_; }
  [[nodiscard]] const CudaOptions& options() const { return options_; }
  [[nodiscard]] Lanes& lanes() { return *lanes_; }
  [[nodiscard]] cudaStream_t stream(Lane lane) const {
    return (lane == Lane::compute ? lanes_->compute : lanes_->gradients).get();
  }
  [[nodiscard]] Watch& watch() { return watch_; }
  /// Until all that is enqueued on `stream` has run, or all that came before `event`; how the host
  /// waits where ops may communicate.
  void wait(cudaStream_t stream) { watch_.wait(stream); }
  void wait(const Event& event) { watch_.wait(event); }
  [[nodiscard]] Libraries& libraries() { return *libraries_; }
  [[nodiscard]] ConvolutionPlans& convolution_plans() { return *convolution_plans_; }
  [[nodiscard]] MatrixProducts& matrix_products() { return matrix_products_; }
  [[nodiscard]] WeightShadows& shadows() { return shadows_; }

 private:
  CudaOptions options_;
  Watch watch_;
  DeviceProperties properties_;
  std::unique_ptr<Lanes> lanes_;
  std::shared_ptr<Libraries> libraries_;
  std::unique_ptr<ConvolutionPlans> convolution_plans_;
  MatrixProducts matrix_products_;
  WeightShadows shadows_;
};

}  // namespace simclr::cuda
