#pragma once
// Stored images of no meaning, and batches of their training views: what a loader would bring, made
// ahead of a benchmark.

#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "simclr/augment/augmentation.hpp"
#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/backend/input_stage.hpp"

namespace simclr {

/// Side of the stored images that views of this size are usually made from: evaluation's.
int usual_stored_side(int image_size);

/// u8 (images, side, side, 3), gradients with noise: what rendering costs does not depend on it.
std::pmr::vector<std::uint8_t> synthetic_pixels(
    std::int64_t images, int side,
    std::pmr::memory_resource* memory = std::pmr::get_default_resource());

/// A few batches, each with images and random decisions of its own; two views of every image.
class SyntheticBatches {
 public:
  /// samples: of a batch.
  SyntheticBatches(const AugmentationConfig& config, int stored_side, std::int64_t samples,
                   std::pmr::memory_resource* memory);

  [[nodiscard]] std::int64_t samples() const { return samples_; }
  [[nodiscard]] std::int64_t image_bytes() const { return image_bytes_; }
  /// Of all batches.
  [[nodiscard]] std::span<const ImageRef> images() const { return images_; }
  /// Batch number k; after the last comes the first again.
  [[nodiscard]] InputBatch with_images(std::int64_t k) const;
  /// The same where images() are resident.
  [[nodiscard]] InputBatch with_samples(std::int64_t k) const;

 private:
  [[nodiscard]] std::span<const ViewParameters> parameters(std::int64_t k) const;

  std::int64_t samples_, image_bytes_;
  std::pmr::vector<std::uint8_t> pixels_;
  std::vector<ImageRef> images_;
  std::vector<std::int64_t> indices_;
  std::vector<ViewParameters> parameters_;  // batch by batch, view by view
};

}  // namespace simclr
