#pragma once
// Brings the views of a step to the backend ahead of it: rendered on the host, or stored images
// that the device renders.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "simclr/augment/augmentation.hpp"
#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/tensor/tensor.hpp"

namespace simclr {

/// A batch of n samples, V views. Either `views`, or `parameters` with `images` or `samples`.
struct InputBatch {
  std::span<const float>
      views;  ///< f32 (V,S,S,3), rendered on the host; view v of sample i at v*n+i
  std::span<const ViewParameters> parameters;  ///< V, in the order of the views
  std::span<const ImageRef> images;            ///< n stored images
  std::span<const std::int64_t> samples;       ///< n indices into a resident data set
};

/// What a stage has to expect.
struct InputStageSpec {
  TensorInfo tensor;             ///< "views" f32 (V,S,S,3)
  std::byte* address = nullptr;  ///< of that tensor
  /// Views are rendered by the backend, by this recipe (only where Backend::renders_views()).
  std::optional<AugmentationConfig> rendering;
  std::int64_t samples = 0;           ///< n
  std::int64_t most_image_bytes = 0;  ///< of any stored image
  /// The whole data set, raw, to be kept in device memory; batches then name samples.
  std::span<const ImageRef> resident;
};

/// Order of events: stage(b) precedes commit(), which precedes the run of the step that reads b;
/// stage(b + 1) may come as soon as commit() has returned, while that step still runs.
class InputStage {
 public:
  InputStage() = default;
  InputStage(const InputStage&) = delete;
  InputStage& operator=(const InputStage&) = delete;
  virtual ~InputStage() = default;
  /// Starts to bring a batch over. Its host memory must stay as it is until commit() has returned.
  virtual void stage(const InputBatch& batch) = 0;
  /// The staged batch becomes the contents of the tensor for all that is run from now on. Called
  /// again without another stage(), with the host memory still as it was, it does the same again.
  virtual void commit() = 0;
};

}  // namespace simclr
