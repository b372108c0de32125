#include "simclr/eval/frozen_encoder.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

#include <fmt/ranges.h>

#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/core/options.hpp"
#include "simclr/train/training_state.hpp"

namespace simclr {
namespace {

const std::vector<Part> kLoadedParts{Part::encoder, Part::projection_head};

/// Appends the first `rows` rows of a (B,C) tensor to `to`.
void append_rows(const Executor& executor, const std::string& name, std::int64_t rows,
                 std::vector<float>& to) {
  const TensorId tensor = executor.program().at(name);
  const auto values = executor.values(tensor);
  const auto count = rows * executor.program().info(tensor).shape[-1];
  to.insert(to.end(), values.begin(), values.begin() + count);
}

void require_finite(const std::vector<float>& values, const EncoderSource& encoder) {
  if (std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) return;
  fail("{}: the encoder gives non-finite features; evaluate an earlier checkpoint",
       encoder.origin());
}

}  // namespace

std::vector<std::string> feature_layers(const ModelDescription& model) {
  std::vector<std::string> names{"h"};
  for (int group = 1; group <= kEncoderGroups; ++group) {
    names.push_back(fmt::format("layer{}", group));
  }
  for (int layer = 1; layer <= model.head_layers(); ++layer) {
    names.push_back(fmt::format("head{}", layer));
  }
  if (model.has_embedding()) names.emplace_back("z");
  return names;
}

FeatureLayer parse_feature_layer(const std::string& name, const ModelDescription& model) {
  const std::vector<std::string> names = feature_layers(model);
  const int layers = model.head_layers();
  const auto place = static_cast<int>(std::ranges::find(names, name) - names.begin());
  if (place == std::ssize(names)) {
    refuse_value(
        "layer", name,
        fmt::format("{} (the checkpoint's head has {} layer{}{})", fmt::join(names, ", "), layers,
                    layers == 1 ? "" : "s",
                    model.has_embedding() ? "" : "; a classifier stands instead of the others"));
  }
  if (name == "z") return {.head_layers = layers};
  return {.groups = place == 0 ? kEncoderGroups : std::min(place, kEncoderGroups),
          .head_layers = std::max(place - kEncoderGroups, 0)};
}

FrozenEncoder::FrozenEncoder(const std::filesystem::path& run_or_file, Communicator& world)
    : weights_(read_checkpoint_weights(run_or_file, world)) {}

void FrozenEncoder::load_into(Executor& executor) const {
  load_parts(executor, kLoadedParts, weights_.checkpoint, file().string());
}

void FrozenEncoder::load_all_into(Executor& executor) const {
  load_parts(executor, kAllParts, weights_.checkpoint, file().string());
}

void EncoderInTraining::load_into(Executor& executor) const {
  copy_parts(*training_, executor, kLoadedParts);
}

std::string encoder_hash(const Executor& executor) {
  const Program& program = executor.program();
  std::vector<float> encoder;
  const auto add = [&](const auto& tensors, Storage storage) {
    const std::vector<float> flat = executor.flat(storage);
    for (const auto& tensor : tensors) {
      if (tensor.part != Part::encoder) continue;
      const TensorInfo& info = program.info(tensor.value);
      const auto first = flat.begin() + info.offset;
      encoder.insert(encoder.end(), first, first + info.shape.elements());
    }
  };
  add(program.parameters, Storage::parameters);
  add(program.running, Storage::running);
  return to_hex(hash64(std::as_bytes(std::span(encoder))));
}

EvaluationLoaderConfig evaluation_images(const ModelDescription& model, DType activations,
                                         std::int64_t batch_size, int threads,
                                         const Communicator& world) {
  return {.image_size = static_cast<int>(model.image_size),
          .mean = model.mean,
          .std = model.std,
          .image_type = activations,
          .batch_size = batch_size,
          .rank = world.rank(),
          .world_size = world.size(),
          .threads = threads};
}

Executor make_feature_executor(const EncoderSource& encoder, const ExtractionConfig& config,
                               Backend& backend) {
  const ModelDescription& model = encoder.model();
  Program program = record_features({.encoder = model.encoder,
                                     .head = model.head,
                                     .layer = config.layer,
                                     .with_head = config.with_head,
                                     .batch = config.batch_size,
                                     .image_size = model.image_size,
                                     .activations = config.activations});
  ExecutorOptions options{.keep = {program.at("features")}};
  if (config.with_head) options.keep.push_back(program.at("z"));
  Executor executor(std::move(program), backend, {}, options);
  encoder.load_into(executor);
  return executor;
}

ExtractedFeatures extract_features(const EncoderSource& encoder, SampleStore& store,
                                   const ExtractionConfig& config, Backend& backend,
                                   Communicator& world) {
  Executor executor = make_feature_executor(encoder, config, backend);
  const Program& program = executor.program();

  EvaluationLoader loader(store, evaluation_images(encoder.model(), config.activations,
                                                   config.batch_size, config.threads, world));
  ExtractedFeatures features;
  features.first_sample = loader.begin_sample();
  features.h.channels = program.info(program.at("features")).shape[-1];
  if (config.with_head) features.embedding = program.info(program.at("z")).shape[-1];
  while (const EvaluationBatch* batch = loader.next()) {
    if (batch->count == 0) continue;
    executor.upload(program.at("views"), batch->images.span());
    executor.run_forward();
    append_rows(executor, "features", batch->count, features.h.values);
    if (config.with_head) append_rows(executor, "z", batch->count, features.z);
    features.h.labels.insert(features.h.labels.end(), batch->labels.begin(), batch->labels.end());
  }
  require_finite(features.h.values, encoder);
  require_finite(features.z, encoder);
  return features;
}

}  // namespace simclr
