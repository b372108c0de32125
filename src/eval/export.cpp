#include "simclr/eval/export.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/train/model_description.hpp"

namespace simclr {
namespace {

constexpr const char* kFormatVersion = "1";

/// Reorders (K,R,S,C) to (K,C,R,S).
std::vector<float> channels_first(const NamedTensor& filters) {
  const Shape& shape = filters.shape;
  const std::int64_t channels = shape[3];
  const std::int64_t pixels = shape[1] * shape[2];
  std::vector<float> result(filters.values.size());
  std::size_t to = 0;
  for (std::int64_t k = 0; k < shape[0]; ++k) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t p = 0; p < pixels; ++p) {
        result[to++] = filters.values[static_cast<std::size_t>((k * pixels + p) * channels + c)];
      }
    }
  }
  return result;
}

NamedTensor exported(const NamedTensor& tensor) {
  const Shape& shape = tensor.shape;
  if (shape.rank() != 4) return tensor;
  return {tensor.name, {shape[0], shape[3], shape[1], shape[2]}, channels_first(tensor)};
}

std::string channels_text(const std::optional<std::array<float, 3>>& values, float otherwise) {
  const auto v = values.value_or(std::array<float, 3>{otherwise, otherwise, otherwise});
  return fmt::format("{},{},{}", v[0], v[1], v[2]);
}

}  // namespace

SafeTensors export_checkpoint(const Checkpoint& checkpoint, const std::string& origin) {
  const ModelDescription model = parse_model_description(checkpoint.model, origin);
  SafeTensors content;
  content.metadata = {
      {"format_version", kFormatVersion},
      {"format", "pt"},  // loaders of PyTorch weights check for this
      {"step", std::to_string(checkpoint.step)},
      {"epoch", std::to_string(checkpoint.epoch)},
      {"encoder", model.encoder.name()},
      {"width", fmt::format("{}", model.encoder.width)},
      {"stem", model.encoder.stem == Stem::cifar ? "cifar" : "imagenet"},
      {"feature_channels", std::to_string(model.encoder.feature_channels())},
      {"image_size", std::to_string(model.image_size)},
      {"pixel_range", "0,1"},
      {"channel_order", "RGB"},
      {"normalization_mean", channels_text(model.mean, 0)},
      {"normalization_std", channels_text(model.std, 1)},
      {"batch_norm_epsilon", "1e-5"},
      {"model", checkpoint.model},
      {"checkpoint_checksum", checkpoint.checksum},
  };
  for (const auto& tensor : checkpoint.parameters) content.tensors.push_back(exported(tensor));
  for (const auto& tensor : checkpoint.running) content.tensors.push_back(exported(tensor));
  return content;
}

}  // namespace simclr
