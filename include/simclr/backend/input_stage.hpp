#pragma once
// Brings the inputs of a step to the backend while the step before still runs.

#include "simclr/tensor/span.hpp"
#include "simclr/tensor/tensor.hpp"

namespace simclr {

/// An input tensor of a program, and where the backend keeps it.
struct InputTensor {
  TensorId id;
  TensorInfo info;
  std::byte* address = nullptr;
};

/// Order of events: stage(x, batch b) of every input x precedes commit(), which precedes the run of
/// the step that reads batch b; stage(x, batch b + 1) may come as soon as commit() has returned,
/// while that step still runs.
class InputStage {
 public:
  InputStage() = default;
  InputStage(const InputStage&) = delete;
  InputStage& operator=(const InputStage&) = delete;
  virtual ~InputStage() = default;
  /// Starts to bring an input's next values over. `host` holds the whole tensor in its own type and
  /// canonical layout, and must stay as it is until commit() has returned.
  virtual void stage(TensorId input, ConstBufferSpan host) = 0;
  /// What was staged becomes the contents of the tensors for all that is run from now on. Called
  /// again without another stage(), with the host memory still as it was, it does the same again.
  virtual void commit() = 0;
};

}  // namespace simclr
