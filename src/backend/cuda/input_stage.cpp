#include "input_stage.hpp"

#include "layout.hpp"
#include "memory.hpp"
#include "rendering_stage.hpp"

namespace simclr::cuda {

namespace {

/// Views that the host rendered. Order of events, for batch b:
///   the move of b - 1 into the tensor (compute lane) precedes the copy of b to the device (copy
///   lane) precedes the move of b precedes step b.
/// One buffer is enough: the copy of b has the whole of step b - 1 to hide behind, because the move
/// of b - 1 comes before that step.
class HostViewStage final : public InputStage {
 public:
  HostViewStage(const InputStageSpec& spec, Device& device)
      : device_(device), lanes_(device.lanes()), tensor_(spec.tensor), address_(spec.address) {
    const Layout layout = layout_of(tensor_);
    require(layout.dtype == DType::f32 && !layout.padded(),
            "views are stored as the host has them");
    staged_ = allocate_device(layout.stored_bytes(), "the next batch's views");
    moved_.record(lanes_.compute.get());
  }

  void stage(const InputBatch& batch) override {
    require(batch.views.size_bytes() == staged_.bytes(), "a batch has the views of the tensor");
    moved_.make_wait(lanes_.copy.get());
    check(cudaMemcpyAsync(staged_.data(), batch.views.data(), staged_.bytes(),
                          cudaMemcpyHostToDevice, lanes_.copy.get()),
          "copy views to the device");
    copied_.record(lanes_.copy.get());
  }

  void commit() override {
    copied_.make_wait(lanes_.compute.get());
    check(cudaMemcpyAsync(address_, staged_.data(), staged_.bytes(), cudaMemcpyDeviceToDevice,
                          lanes_.compute.get()),
          "move views into their tensor");
    moved_.record(lanes_.compute.get());
    device_.wait(lanes_.copy.get());  // from here on the host memory may change
  }

 private:
  Device& device_;
  Lanes& lanes_;
  TensorInfo tensor_;
  std::byte* address_;
  Buffer staged_;
  Event copied_, moved_;
};

}  // namespace

std::unique_ptr<InputStage> make_input_stage(const InputStageSpec& spec, Device& device) {
  if (spec.rendering) return make_rendering_stage(spec, device);
  return std::make_unique<HostViewStage>(spec, device);
}

}  // namespace simclr::cuda
