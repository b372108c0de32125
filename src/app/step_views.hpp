#pragma once
// The views of benchmarked steps: ready ones, or rendered within each step from stored images.

#include <cstdint>
#include <memory>

#include "simclr/augment/augmentation.hpp"
#include "simclr/backend/backend.hpp"

namespace simclr {

struct StepViewsSpec {
  AugmentationConfig augmentation;
  std::int64_t samples = 0;  ///< of a step, on this rank; each gives two views
  int stored_side = 0;       ///< of the images that views are rendered from
  int threads = 1;           ///< that render, where the host does
};

class StepViews {
 public:
  StepViews() = default;
  StepViews(const StepViews&) = delete;
  StepViews& operator=(const StepViews&) = delete;
  virtual ~StepViews() = default;
  /// What the trainer has to expect, beside rendered views.
  [[nodiscard]] virtual InputStageSpec expected() const { return {}; }
  /// Of step k. Where the host renders, it does so here. Valid until the next call.
  virtual InputBatch batch(std::int64_t k) = 0;
};

/// Random pixels, the same in every step, in memory that the backend copies fastest.
std::unique_ptr<StepViews> make_ready_views(const StepViewsSpec& spec, Backend& backend);

/// Another batch in every step, of a few: rendered by the device from images that stay there, or by
/// the host's threads.
std::unique_ptr<StepViews> make_rendered_views(const StepViewsSpec& spec, Backend& backend);

}  // namespace simclr
