#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "simclr/core/check.hpp"
#include "simclr/eval/frozen_encoder.hpp"

namespace simclr {
namespace {

Executor make_feature_executor(const FrozenEncoder& encoder, const ExtractionConfig& config,
                               Backend& backend) {
  const ModelDescription& model = encoder.model();
  Program program = record_features({.encoder = model.encoder,
                                     .head = model.head,
                                     .with_head = config.with_head,
                                     .batch = config.batch_size,
                                     .image_size = model.image_size,
                                     .activations = config.activations});
  ExecutorOptions options;
  if (config.with_head) options.keep.push_back(program.at("z"));
  return {std::move(program), backend, {}, options};
}

/// Appends the first `rows` rows of a (B,C) tensor to `to`.
void append_rows(const Executor& executor, const std::string& name, std::int64_t rows,
                 std::vector<float>& to) {
  const TensorId tensor = executor.program().at(name);
  const auto values = executor.values(tensor);
  const auto count = rows * executor.program().info(tensor).shape[-1];
  to.insert(to.end(), values.begin(), values.begin() + count);
}

void require_finite(const std::vector<float>& values, const FrozenEncoder& encoder) {
  if (std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) return;
  fail("{}: the encoder gives non-finite features; evaluate an earlier checkpoint",
       encoder.file().string());
}

}  // namespace

ExtractedFeatures extract_features(const FrozenEncoder& encoder, SampleStore& store,
                                   const ExtractionConfig& config, Backend& backend,
                                   Communicator& world) {
  Executor executor = make_feature_executor(encoder, config, backend);
  encoder.load_into(executor);
  const Program& program = executor.program();

  EvaluationLoader loader(store, evaluation_images(encoder.model(), config.activations,
                                                   config.batch_size, config.threads, world));
  ExtractedFeatures features;
  features.first_sample = loader.begin_sample();
  features.h.channels = program.info(program.at("h")).shape[-1];
  if (config.with_head) features.embedding = program.info(program.at("z")).shape[-1];
  while (const EvaluationBatch* batch = loader.next()) {
    if (batch->count == 0) continue;
    executor.upload(program.at("views"), batch->images.span());
    executor.run_forward();
    append_rows(executor, "h", batch->count, features.h.values);
    if (config.with_head) append_rows(executor, "z", batch->count, features.z);
    features.h.labels.insert(features.h.labels.end(), batch->labels.begin(), batch->labels.end());
  }
  require_finite(features.h.values, encoder);
  require_finite(features.z, encoder);
  return features;
}

}  // namespace simclr
