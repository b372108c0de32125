#pragma once
// Description of a checkpoint's model: everything that an evaluation needs beside the weights.

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "simclr/nn/model.hpp"

namespace simclr {

/// A linear classifier instead of the head's layers from `head_layers` on.
struct ClassifierDescription {
  std::int64_t classes = 0;
  int head_layers = 0;  ///< layers of the head below it; 0: it reads h
};

struct ModelDescription {
  EncoderSpec encoder;
  HeadSpec head;
  std::int64_t image_size = 224;
  std::optional<std::array<float, 3>> mean, std;      ///< applied to pixels in [0,1], if given
  std::optional<ClassifierDescription> classifier{};  ///< of a model trained with labels

  /// Layers of the head that the model has: all, unless a classifier stands instead of the last.
  [[nodiscard]] int head_layers() const;
  /// Whether it has z.
  [[nodiscard]] bool has_embedding() const { return head_layers() == head.layer_count(); }
};

/// Writes one JSON object: {"encoder": "resnet50", "width": 1.0, "stem": "imagenet",
/// "projection_shortcut_everywhere": false, "head": "nonlinear", "head_layers": 2, "head_hidden":
/// 0, "embedding_dim": 128, "image_size": 224, "mean": null, "std": null}; and "pool_padding":
/// "same" if it is not torchvision's; "sk_ratio": 0.0625 if there are selective kernels; "classes":
/// 10, "classifier_head_layers": 0 if there is a classifier.
std::string to_json(const ModelDescription& model);

/// Reads it. Throws RefusedError naming `origin` (a file) and the field that is missing or wrong.
ModelDescription parse_model_description(const std::string& json, const std::string& origin);

}  // namespace simclr
