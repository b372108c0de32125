#include "input_stage.hpp"

#include <map>

#include "memory.hpp"

namespace simclr::cpu {

namespace {

/// The host's memory is the device's: a batch waits where it is until its step begins.
class HostInputStage final : public InputStage {
 public:
  explicit HostInputStage(std::vector<InputTensor> inputs) {
    for (InputTensor& input : inputs) staged_[input.id].tensor = std::move(input);
  }
  void stage(TensorId input, ConstBufferSpan host) override { staged_.at(input).host = host; }
  void commit() override {
    for (const auto& [id, staged] : staged_) {
      upload(staged.tensor.info, staged.tensor.address, staged.host);
    }
  }

 private:
  struct Staged {
    InputTensor tensor;
    ConstBufferSpan host;
  };
  std::map<TensorId, Staged> staged_;
};

}  // namespace

std::unique_ptr<InputStage> make_input_stage(std::vector<InputTensor> inputs) {
  return std::make_unique<HostInputStage>(std::move(inputs));
}

}  // namespace simclr::cpu
