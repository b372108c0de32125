#include "simclr/train/encoder_weights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/io/safetensors.hpp"
#include "simclr/train/encoder_training.hpp"
#include "simclr/train/training_state.hpp"

namespace simclr {
namespace {

/// Transposes each of `count` matrices (rows, columns), which lie one behind the other.
std::vector<float> transpose_each(const std::vector<float>& values, std::int64_t count,
                                  std::int64_t rows, std::int64_t columns) {
  std::vector<float> result(values.size());
  std::size_t to = 0;
  for (std::int64_t matrix = 0; matrix < count; ++matrix) {
    for (std::int64_t column = 0; column < columns; ++column) {
      for (std::int64_t row = 0; row < rows; ++row) {
        result[to++] = values[static_cast<std::size_t>((matrix * rows + row) * columns + column)];
      }
    }
  }
  return result;
}

/// Reorders filters from OIHW to (K,R,S,C).
NamedTensor channels_last(NamedTensor tensor) {
  const Shape s = tensor.shape;
  if (s.rank() != 4) return tensor;
  return {std::move(tensor.name),
          {s[0], s[2], s[3], s[1]},
          transpose_each(tensor.values, s[0], s[1], s[2] * s[3])};
}

bool is_running_statistic(const std::string& name) {
  return name.ends_with(".running_mean") || name.ends_with(".running_var");
}

/// A hash of names and values.
std::string content_hash(const SafeTensors& content) {
  std::string all;
  for (const NamedTensor& tensor : content.tensors) {
    all += fmt::format("{} {}\n", tensor.name,
                       to_hex(hash64(std::as_bytes(std::span(tensor.values)))));
  }
  return to_hex(hash64(std::as_bytes(std::span(all))));
}

/// A program that has the encoder's tensors and those of the head's first layers.
Program described_program(const ModelDescription& model, int head_layers) {
  return record_classifier({.encoder = model.encoder,
                            .head = model.head,
                            .head_layers = head_layers,
                            .frozen_groups = kEncoderGroups,
                            .batch = 1,
                            .image_size = model.image_size,
                            .classes = model.classifier ? model.classifier->classes : 1,
                            .global_batch = 1});
}

/// Gives all ranks the tensors of rank 0.
std::vector<NamedTensor> broadcast_tensors(std::vector<NamedTensor> tensors, Communicator& world) {
  tensors.resize(broadcast_value(world, tensors.size()));
  for (NamedTensor& tensor : tensors) {
    tensor.name = broadcast_text(world, tensor.name);
    tensor.shape = broadcast_value(world, tensor.shape);
    tensor.values.resize(static_cast<std::size_t>(tensor.shape.elements()));
    world.broadcast(buffer_span(std::span(tensor.values)), 0);
  }
  return tensors;
}

}  // namespace

NamedTensor channels_first(NamedTensor tensor) {
  const Shape s = tensor.shape;
  if (s.rank() != 4) return tensor;
  return {std::move(tensor.name),
          {s[0], s[3], s[1], s[2]},
          transpose_each(tensor.values, s[0], s[1] * s[2], s[3])};
}

ModelDescription require_model(const Checkpoint& checkpoint, const std::string& origin) {
  ModelDescription model = parse_model_description(checkpoint.model, origin);
  std::vector<Part> parts{Part::encoder, Part::projection_head};
  if (model.classifier) parts.push_back(Part::classifier);
  require_parts(described_program(model, model.head_layers()), parts, checkpoint, origin);
  return model;
}

EncoderWeights read_checkpoint_weights(const std::filesystem::path& run_or_file) {
  FoundCheckpoint found = open_checkpoint(run_or_file);
  ModelDescription model = require_model(found.checkpoint, found.file.path.string());
  // Frees the optimizer's state: it is as large as the weights, and nobody reads it.
  found.checkpoint.momentum = {};
  found.checkpoint.second_moment = {};
  return {found.file.path, model, std::move(found.checkpoint)};
}

EncoderWeights read_checkpoint_weights(const std::filesystem::path& run_or_file,
                                       Communicator& world) {
  EncoderWeights weights;
  on_root(world, [&] { weights = read_checkpoint_weights(run_or_file); });
  weights.file = broadcast_text(world, weights.file.string());
  Checkpoint& checkpoint = weights.checkpoint;
  for (std::int64_t* number : {&checkpoint.step, &checkpoint.epoch}) {
    *number = broadcast_value(world, *number);
  }
  for (std::string* text :
       {&checkpoint.configuration, &checkpoint.model, &checkpoint.data, &checkpoint.checksum}) {
    *text = broadcast_text(world, *text);
  }
  for (auto* tensors : {&checkpoint.parameters, &checkpoint.running}) {
    *tensors = broadcast_tensors(std::move(*tensors), world);
  }
  weights.model = parse_model_description(checkpoint.model, weights.file.string());
  return weights;
}

std::optional<double> pretraining_decay(const EncoderTraining& run) {
  if (!run.initial_parts().empty()) return {};
  return run.weight_decay;
}

void read_how_trained(EncoderWeights& weights) {
  const std::string& configuration = weights.checkpoint.configuration;
  if (configuration.empty()) return;
  const AnyTraining run = read_training(configuration, weights.file.string());
  weights.interpolation = run->interpolation;
  weights.pretraining_decay = pretraining_decay(*run);
}

EncoderWeights read_exported_weights(const std::filesystem::path& file) {
  SafeTensors content = read_safetensors(file);
  const auto model = content.metadata.find("model");
  if (model == content.metadata.end()) {
    refuse(
        "option --weights: {} does not describe its model and preprocessing (metadata 'model'); "
        "give a file that simclr export wrote",
        file.string());
  }
  EncoderWeights weights{.file = file,
                         .model = parse_model_description(model->second, file.string())};
  weights.checkpoint.model = model->second;
  const auto metadata = [&](const char* name) {
    const auto found = content.metadata.find(name);
    return found == content.metadata.end() ? std::string() : found->second;
  };
  const std::string interpolation = metadata("interpolation");
  if (interpolation == "bicubic") weights.interpolation = Interpolation::bicubic;
  if (interpolation == "bilinear") weights.interpolation = Interpolation::bilinear;
  double decay = 0;
  if (read_value(metadata("weight_decay"), decay, at_least(0))) weights.pretraining_decay = decay;
  weights.checkpoint.checksum = content_hash(content);
  for (NamedTensor& tensor : content.tensors) {
    const bool variance = tensor.name.ends_with(".running_var");
    if (!std::ranges::all_of(tensor.values, [&](float value) {
          return std::isfinite(value) && !(variance && value < 0);
        })) {
      refuse("option --weights: {}: '{}' holds values that are not finite{}", file.string(),
             tensor.name, variance ? ", or negative variances" : "");
    }
    auto& tensors = is_running_statistic(tensor.name) ? weights.checkpoint.running
                                                      : weights.checkpoint.parameters;
    tensors.push_back(channels_last(std::move(tensor)));
  }
  return weights;
}

void require_layers(const EncoderWeights& weights, int head_layers) {
  require_parts(described_program(weights.model, head_layers),
                {Part::encoder, Part::projection_head}, weights.checkpoint, weights.file.string());
}

}  // namespace simclr
