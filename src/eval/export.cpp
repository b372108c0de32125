#include "simclr/eval/export.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/io/array_file.hpp"
#include "simclr/train/encoder_training.hpp"
#include "simclr/train/encoder_weights.hpp"

namespace simclr {
namespace {

constexpr const char* kFormatVersion = "1";
constexpr std::string_view kClassifier = "classifier.";

/// The name in an exported file: a classifier that reads h is torchvision's `fc`.
std::string exported_name(const std::string& name, const ModelDescription& model) {
  if (!name.starts_with(kClassifier) || model.classifier->head_layers > 0) return name;
  return "fc." + name.substr(kClassifier.size());
}

NamedTensor exported(NamedTensor tensor, const ModelDescription& model) {
  tensor.name = exported_name(tensor.name, model);
  return channels_first(std::move(tensor));
}

std::string channels_text(const std::optional<std::array<float, 3>>& values, float otherwise) {
  const auto v = values.value_or(std::array<float, 3>{otherwise, otherwise, otherwise});
  return fmt::format("{},{},{}", v[0], v[1], v[2]);
}

/// Whether the encoder has shortcuts that torchvision's lacks. Bottleneck blocks change the number
/// of channels, so that they have one in either.
bool has_more_shortcuts(const EncoderSpec& encoder) {
  return encoder.projection_shortcut_everywhere && encoder.depth < 50;
}

const char* yes_or_no(bool yes) { return yes ? "yes" : "no"; }

struct Layout {
  std::string layer;
  std::int64_t samples = 0;
  std::int64_t channels = 0;
  std::int64_t embedding = 0;
  bool labeled = false;
};

void create(ArrayFile& file, const Layout& layout, const FrozenEncoder& encoder) {
  file.attribute("format", std::string(kFeaturesFormat));
  file.attribute("version", std::int64_t{1});
  file.attribute("encoder", encoder.model().encoder.name());
  file.attribute("checkpoint", encoder.file().filename().string());
  file.attribute("checkpoint_hash", encoder.checksum());
  file.attribute("step", encoder.step());
  file.attribute("layer", layout.layer);
  file.create(layout.layer, ArrayFile::Type::f32, {layout.samples, layout.channels});
  file.create("sample_index", ArrayFile::Type::i64, {layout.samples});
  if (layout.embedding > 0) {
    file.create("z", ArrayFile::Type::f32, {layout.samples, layout.embedding});
  }
  if (layout.labeled) file.create("labels", ArrayFile::Type::i64, {layout.samples});
}

void write_names(ArrayFile& file, const SampleNames& names) {
  const std::string& bytes = names.bytes();
  file.create("names", ArrayFile::Type::u8, {std::ssize(bytes)});
  file.create("name_offsets", ArrayFile::Type::u64, {names.size() + 1});
  file.write("names", {0},
             std::span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
  file.write("name_offsets", {0}, std::span<const std::uint64_t>(names.offsets()));
}

/// Writes one rank's part at its position in the file.
void write_part(ArrayFile& file, const Layout& layout, std::int64_t first,
                const std::vector<float>& h, const std::vector<float>& z,
                const std::vector<std::int64_t>& labels) {
  const std::int64_t rows = static_cast<std::int64_t>(h.size()) / layout.channels;
  if (rows == 0) return;
  std::vector<std::int64_t> sample_index(static_cast<std::size_t>(rows));
  std::iota(sample_index.begin(), sample_index.end(), first);
  file.write(layout.layer, {first}, std::span<const float>(h));
  file.write("sample_index", {first}, std::span<const std::int64_t>(sample_index));
  if (layout.embedding > 0) file.write("z", {first}, std::span<const float>(z));
  if (layout.labeled) file.write("labels", {first}, std::span<const std::int64_t>(labels));
}

}  // namespace

std::string loading_code(const ModelDescription& model, const std::filesystem::path& file) {
  const EncoderSpec& encoder = model.encoder;
  const bool classifies = model.classifier && model.classifier->head_layers == 0;
  if (encoder.sk_ratio > 0) {
    return fmt::format(
        "torchvision has no encoder with selective kernels; SimClr of the project's\n"
        "scripts/pytorch/simclr_torch.py takes these tensors:\n"
        "  from simclr_torch import SimClr, load_exported, read_safetensors\n"
        "  model = SimClr(\"{}\", width={}, cifar_stem={}, head_layers={}, embedding={},\n"
        "                 pool_padding=\"{}\", sk_ratio={})\n"
        "  load_exported(model, read_safetensors(\"{}\")[0])\n",
        encoder.name(), encoder.width, encoder.stem == Stem::cifar ? "True" : "False",
        model.head_layers(), model.head.embedding,
        encoder.pool_padding == PoolPadding::same ? "same" : "torchvision", encoder.sk_ratio,
        file.string());
  }
  if (encoder.width != 1 || has_more_shortcuts(encoder)) {
    return fmt::format(
        "torchvision has no such encoder (width {}{}); the tensors have the names and order of\n"
        "torchvision's resnet{}\n",
        encoder.width, has_more_shortcuts(encoder) ? ", a projection shortcut in every group" : "",
        encoder.depth);
  }
  std::string lines = fmt::format(
      "  import safetensors.torch, torch, torchvision\n"
      "  encoder = torchvision.models.resnet{}({})\n",
      encoder.depth, classifies ? fmt::format("num_classes={}", model.classifier->classes) : "");
  if (encoder.stem == Stem::cifar) {
    lines +=
        "  encoder.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)\n"
        "  encoder.maxpool = torch.nn.Identity()\n";
  } else if (encoder.pool_padding == PoolPadding::same) {
    lines +=
        "  # where conv1's output has an even side:\n"
        "  encoder.maxpool = torch.nn.MaxPool2d(3, 2, ceil_mode=True)\n";
  }
  lines += fmt::format("  weights = safetensors.torch.load_file(\"{}\")\n", file.string());
  if (classifies) return lines + "  encoder.load_state_dict(weights, strict=False)\n";
  return lines +
         "  encoder.load_state_dict(weights, strict=False)  # only fc.* is missing\n"
         "  encoder.fc = torch.nn.Identity()\n";
}

std::string loading_hint(const EncoderSpec& encoder) {
  if (encoder.sk_ratio > 0) {
    return "selective kernels with the stem and shortcuts of ResNet-D, which torchvision lacks: "
           "layerL.B.conv2 gives two streams that layerL.B.sk mixes; the shortcut of layer1.0 "
           "averages 2x2 pixels with stride 1, which timm's ResNet-D leaves out";
  }
  const std::string model =
      encoder.width == 1
          ? "torchvision's model"
          : fmt::format(
                "a model like torchvision's {} but with {} times the channels, which "
                "torchvision does not have",
                encoder.name(), encoder.width);
  std::string hint;
  if (encoder.stem == Stem::cifar) {
    hint = fmt::format(
        "in {}, replace conv1 by a 3x3 convolution of stride 1 and padding 1, and set maxpool = "
        "torch.nn.Identity()",
        model);
  } else if (encoder.pool_padding == PoolPadding::same) {
    hint = fmt::format(
        "in {}, set maxpool = torch.nn.MaxPool2d(3, 2, ceil_mode=True) where conv1's output has an "
        "even side, as of images with sides that are multiples of 4",
        model);
  }
  if (has_more_shortcuts(encoder)) {
    hint += fmt::format(
        "{}torchvision's {} has no layer1.0.downsample: add this shortcut, or "
        "load_state_dict(strict=False) drops its tensors",
        hint.empty() ? "" : "; ", encoder.name());
  }
  return hint;
}

SafeTensors export_checkpoint(const Checkpoint& checkpoint, const std::string& origin,
                              ExportParts parts) {
  const ModelDescription model = require_model(checkpoint, origin);
  SafeTensors content;
  content.metadata = {
      {"format_version", kFormatVersion},
      {"format", "pt"},  // loaders of PyTorch weights check for this
      {"step", std::to_string(checkpoint.step)},
      {"epoch", std::to_string(checkpoint.epoch)},
      {"encoder", model.encoder.name()},
      {"width", fmt::format("{}", model.encoder.width)},
      {"stem", model.encoder.stem == Stem::cifar ? "cifar" : "imagenet"},
      {"max_pool", yes_or_no(model.encoder.stem == Stem::imagenet)},
      {"projection_shortcut", yes_or_no(model.encoder.projection_shortcut_everywhere)},
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
  if (!checkpoint.configuration.empty()) {
    const AnyTraining run = read_training(checkpoint.configuration, origin);
    content.metadata["interpolation"] =
        run->interpolation == Interpolation::bicubic ? "bicubic" : "bilinear";
    if (const auto decay = pretraining_decay(*run)) {
      content.metadata["weight_decay"] = value_text(*decay);
    }
  }
  if (model.encoder.sk_ratio > 0) {
    content.metadata["sk_ratio"] = fmt::format("{}", model.encoder.sk_ratio);
  }
  const std::string hint = loading_hint(model.encoder);
  if (!hint.empty()) content.metadata["loading_hint"] = hint;
  for (const auto* tensors : {&checkpoint.parameters, &checkpoint.running}) {
    for (const NamedTensor& tensor : *tensors) {
      if (tensor.name.starts_with("probe.")) continue;  // no part of the model
      const bool of_encoder =
          !tensor.name.starts_with("projection_head.") && !tensor.name.starts_with(kClassifier);
      if (parts == ExportParts::all || of_encoder) {
        content.tensors.push_back(exported(tensor, model));
      }
    }
  }
  return content;
}

void write_features(const std::filesystem::path& file, const ExtractedFeatures& part,
                    const SampleNames& names, const FrozenEncoder& encoder, Communicator& world) {
  const Layout layout{.layer = part.layer,
                      .samples = sum_over_ranks(world, part.h.rows()),
                      .channels = part.h.channels,
                      .embedding = part.embedding,
                      .labeled = any_rank(world, !part.h.labels.empty())};
  std::unique_ptr<ArrayFile> out;
  if (world.rank() == 0) {
    out = std::make_unique<ArrayFile>(file);
    create(*out, layout, encoder);
    if (!names.empty()) write_names(*out, names);
  }
  std::int64_t first = 0;
  for (int owner = 0; owner < world.size(); ++owner) {
    const auto h = broadcast_list(world, part.h.values, owner);
    const auto z = broadcast_list(world, part.z, owner);
    const auto labels = broadcast_list(world, part.h.labels, owner);
    if (out) write_part(*out, layout, first, h, z, labels);
    first += static_cast<std::int64_t>(h.size()) / layout.channels;
  }
  if (out) out->finish();
}

}  // namespace simclr
