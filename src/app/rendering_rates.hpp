#pragma once
// How fast views are rendered: on one core, and on a device.

#include <cstdint>

#include "simclr/augment/augmentation.hpp"
#include "simclr/augment/augmentation_work.hpp"
#include "simclr/backend/backend.hpp"

namespace simclr {

/// What is rendered, and for how long.
struct RenderingSetting {
  AugmentationConfig config;
  int stored_side = 0;
  double seconds = 0.3;  ///< of a repeat
  int repeats = 5;       ///< of which the median counts
};

/// Mean of a view.
AugmentationWork mean_work(const RenderingSetting& setting);

/// Seconds a view, of processor time.
double time_on_one_core(const RenderingSetting& setting);

/// Seconds a view, in batches that follow each other without a pause.
struct DeviceRenderingSeconds {
  double rendering = 0;  ///< nothing but: a batch that is there, again and again
  double resident = 0;   ///< of images that stay on the device, decisions brought batch by batch
  double brought = 0;    ///< of images that are brought with each batch, too
};
/// batch_samples: images of a batch, each of which gives two views. The backend renders views.
DeviceRenderingSeconds time_on_device(const RenderingSetting& setting, std::int64_t batch_samples,
                                      Backend& backend);

}  // namespace simclr
