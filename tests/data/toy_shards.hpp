#pragma once

#include <filesystem>
#include <vector>

#include "simclr/io/image_file.hpp"
#include "simclr/io/shard_writer.hpp"

namespace simclr {

/// An image whose pixels differ from sample to sample and are smooth enough for JPEG.
inline Image toy_image(std::int64_t sample, int height, int width) {
  Image image{height, width, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const auto value = sample * 37 + y * 3 + x * 2 + c * 40;
        image.pixels.push_back(static_cast<std::uint8_t>(value % 256));
      }
    }
  }
  return image;
}

enum class ToyKind : std::uint8_t { fixed, variable, jpeg };

inline Image toy_sample(ToyKind kind, std::int64_t sample) {
  if (kind == ToyKind::fixed) return toy_image(sample, 12, 12);
  return toy_image(sample, 10 + static_cast<int>(sample % 5), 11 + static_cast<int>(sample % 7));
}

/// Writes a labeled set of `samples` images into `shards` files; label = sample % 10.
inline void write_toy_shards(const std::filesystem::path& directory, ToyKind kind,
                             std::int64_t samples, std::int64_t shards) {
  for (std::int64_t s = 0; s < shards; ++s) {
    const std::int64_t begin = samples * s / shards;
    const std::int64_t end = samples * (s + 1) / shards;
    ShardSpec spec{.name = "toy", .samples = end - begin, .labeled = true};
    if (kind == ToyKind::fixed) spec.fixed_size = ShardSpec::Size{12, 12};
    if (kind == ToyKind::jpeg) spec.encoding = ImageEncoding::jpeg;
    ShardWriter writer(directory / shard_file_name("toy", s, shards), spec);
    for (std::int64_t i = begin; i < end; ++i) {
      const Image image = toy_sample(kind, i);
      const std::vector<std::byte> encoded =
          kind == ToyKind::jpeg ? encode_jpeg(image, 95) : std::vector<std::byte>{};
      writer.append(kind == ToyKind::jpeg ? std::span<const std::byte>(encoded)
                                          : std::as_bytes(std::span(image.pixels)),
                    image.height, image.width, i % 10);
    }
    writer.complete();
    writer.publish();
  }
}

}  // namespace simclr
