#include "simclr/data/resident_images.hpp"

#include <numeric>

#include "simclr/core/check.hpp"
#include "simclr/data/loader.hpp"

namespace simclr {

void require_resident(const ShardSetInfo& info) {
  if (info.encoding != ImageEncoding::raw) {
    refuse("--cache device keeps raw images, and those of '{}' are encoded; use --cache node",
           info.name);
  }
  if (!info.fixed_size) {
    refuse("--cache device keeps images of one size, and those of '{}' differ; use --cache node",
           info.name);
  }
}

std::vector<ImageRef> resident_images(SampleStore& store) {
  require_resident(store.info());
  std::vector<std::int64_t> all(static_cast<std::size_t>(store.info().samples));
  std::iota(all.begin(), all.end(), std::int64_t{0});
  std::vector<ImageRef> images;
  images.reserve(all.size());
  for (const StoredImage& image : store.fetch(all, 0)) {
    images.push_back(
        {reinterpret_cast<const std::uint8_t*>(image.bytes.data()), image.height, image.width});
  }
  return images;
}

}  // namespace simclr
