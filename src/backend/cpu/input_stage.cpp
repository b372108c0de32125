#include "input_stage.hpp"
#include "memory.hpp"
#include "simclr/core/check.hpp"

namespace simclr::cpu {

namespace {

/// The host's memory is the device's: a batch waits where it is until its step begins.
class HostInputStage final : public InputStage {
 public:
  explicit HostInputStage(const InputStageSpec& spec)
      : tensor_(spec.tensor), address_(spec.address) {
    require(!spec.rendering && spec.resident.empty(), "views are rendered before they come here");
  }
  void stage(const InputBatch& batch) override { views_ = batch.views; }
  void commit() override { upload(tensor_, address_, const_buffer_span(views_)); }

 private:
  TensorInfo tensor_;
  std::byte* address_;
  std::span<const float> views_;
};

}  // namespace

std::unique_ptr<InputStage> make_input_stage(const InputStageSpec& spec) {
  return std::make_unique<HostInputStage>(spec);
}

}  // namespace simclr::cpu
