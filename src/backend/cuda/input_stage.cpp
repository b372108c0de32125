#include <map>

#include "layout.hpp"
#include "memory.hpp"

namespace simclr::cuda {

namespace {

/// Order of events, for batch b:
///   the move of b - 1 into the tensors (compute lane) precedes the copies of b to the device (copy
///   lane) precede the move of b precedes step b.
/// A second buffer beside each tensor is enough: the copies of b have the whole of step b - 1 to
/// hide behind, because the move of b - 1 comes before that step.
class DeviceInputStage final : public InputStage {
 public:
  DeviceInputStage(std::vector<InputTensor> inputs, Device& device)
      : device_(device), lanes_(device.lanes()) {
    for (const InputTensor& input : inputs) {
      const Layout layout = layout_of(input.info);
      Buffer next = allocate_device(layout.stored_bytes(), "the next batch's " + input.info.name);
      if (layout.padded()) {  // rows are copied in between; the padding stays zero
        check(cudaMemsetAsync(next.data(), 0, next.bytes(), lanes_.copy.get()), "clear an input");
      }
      inputs_.emplace(input.id, Input{layout, input.address, std::move(next)});
    }
    moved_.record(lanes_.compute.get());
  }

  void stage(TensorId id, ConstBufferSpan host) override {
    const Input& input = inputs_.at(id);
    const cudaStream_t copy = lanes_.copy.get();
    moved_.make_wait(copy);
    if (input.layout.padded()) {
      const std::size_t value = size_in_bytes(input.layout.dtype);
      const std::size_t row = static_cast<std::size_t>(input.layout.channels) * value;
      check(cudaMemcpy2DAsync(input.next.data(),
                              static_cast<std::size_t>(input.layout.stride) * value, host.data, row,
                              row, static_cast<std::size_t>(input.layout.rows()),
                              cudaMemcpyHostToDevice, copy),
            "copy an input to the device");
    } else {
      check(
          cudaMemcpyAsync(input.next.data(), host.data, host.bytes(), cudaMemcpyHostToDevice, copy),
          "copy an input to the device");
    }
    copied_.record(copy);
  }

  void commit() override {
    copied_.make_wait(lanes_.compute.get());
    for (const auto& [id, input] : inputs_) {
      check(cudaMemcpyAsync(input.address, input.next.data(), input.next.bytes(),
                            cudaMemcpyDeviceToDevice, lanes_.compute.get()),
            "move an input into its tensor");
    }
    moved_.record(lanes_.compute.get());
    device_.wait(lanes_.copy.get());  // from here on the host memory may change
  }

 private:
  struct Input {
    Layout layout;
    std::byte* address = nullptr;
    Buffer next;
  };

  Device& device_;
  Lanes& lanes_;
  std::map<TensorId, Input> inputs_;
  Event copied_, moved_;
};

}  // namespace

std::unique_ptr<InputStage> make_input_stage(std::vector<InputTensor> inputs, Device& device) {
  return std::make_unique<DeviceInputStage>(std::move(inputs), device);
}

}  // namespace simclr::cuda
