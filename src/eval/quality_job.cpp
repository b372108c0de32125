// The command `quality`: checks, measures and writes.

#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "result_file.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/core/log.hpp"
#include "simclr/eval/quality.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/fingerprint.hpp"
#include "simclr/io/writable.hpp"
#include "simclr/train/encoder_training.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

CommonData open_data(const fs::path& data, Communicator& world) {
  CommonData opened = open_common(data, "data", world);
  if (opened.set.info().samples < 2) {
    refuse("option --data: {} has a single image; quality compares images, give two or more",
           data.string());
  }
  return opened;
}

/// The options of the run that trained the encoder, if they are known.
std::optional<AnyTraining> training_of(const FrozenEncoder& encoder) {
  if (encoder.configuration().empty()) return {};
  AnyTraining run = read_training(encoder.configuration(), encoder.file().string());
  if (run->views_per_sample() != 2) return {};  // alignment compares two views of an image
  return run;
}

EvaluationIdentity identity_of(const FrozenEncoder& encoder, const CommonData& data,
                               const Options& options) {
  return {{"protocol", "quality"},
          {"checkpoint_hash", encoder.checksum()},
          {"data", data.set.info().name},
          {"data_hash", hash_text(data.fingerprint)},
          {"options", {{"precision", options_json(options.values()).at("precision")}}},
          {"defaults", {{"precision", options_json(options.defaults()).at("precision")}}}};
}

fs::path choose_output(const EvaluationConfig& config, const FrozenEncoder& encoder,
                       const EvaluationIdentity& identity) {
  if (!config.output) {
    return free_result_file(result_directory(encoder.file()),
                            fmt::format("quality-step-{:010}", encoder.step()), identity);
  }
  require_own_result(*config.output, "output", identity);
  return *config.output;
}

struct Quality {
  double feature_std = 0, uniformity = 0, rank_me_h = 0;
  std::optional<double> rank_me_z;  ///< empty if the model has no z
  std::optional<double> alignment;  ///< empty if the training's views are not known
};

Quality measure(EncoderJob& job, const EvaluationConfig& config, const ShardSet& data,
                Communicator& world) {
  auto store = job.open(data, config.feature_batch);
  const bool with_z = job.encoder().model().has_embedding();
  ExtractedFeatures features = job.features(*store, with_z);
  const LabeledFeatures z{.channels = features.embedding, .values = std::move(features.z)};
  activity().begin("measuring features");
  Quality quality{.feature_std = feature_std(features.h, world),
                  .uniformity = uniformity(features.h, job.backend(), world),
                  .rank_me_h = rank_me(features.h, world)};
  if (with_z) quality.rank_me_z = rank_me(z, world);
  const auto run = training_of(job.encoder());
  if (!run) {
    if (world.rank() == 0) {
      log::warning("{}: says nothing of the views that it was pretrained on; alignment is left out",
                   job.encoder().file().string());
    }
    return quality;
  }
  features = {};
  activity().begin("measuring alignment");
  quality.alignment = alignment(job.encoder(), std::move(store),
                                {.augmentation = (*run)->augmentation(),
                                 .seed = (*run)->seed,
                                 .batch_size = config.feature_batch,
                                 .activations = job.activations(),
                                 .threads = job.threads()},
                                job.backend(), world);
  return quality;
}

std::string text_of(const std::optional<double>& value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : "unknown";
}

nlohmann::ordered_json json_of(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nullptr;
}

}  // namespace

fs::path evaluate_quality(const EvaluationConfig& config, const fs::path& data,
                          const Options& options, Communicator& world) {
  if (config.dry_run == DryRun::elsewhere) {
    const std::int64_t samples = open_data(data, world).set.info().samples;
    if (config.output)
      require_likely_writable({.file = *config.output, .creates_directories = true});
    std::cout << fmt::format(
        "dry run: would measure the quality of {} on {} images; checkpoint, device and memory are "
        "for the job to check\n",
        config.checkpoint.string(), samples);
    return {};
  }
  EncoderJob job(config, world);
  const FrozenEncoder& encoder = job.encoder();
  const CommonData opened = open_data(data, world);
  const ShardSetInfo& info = opened.set.info();
  fs::path output;
  on_root(world, [&] {
    output = choose_output(config, encoder, identity_of(encoder, opened, options));
    const Output file{.file = output, .creates_directories = true};
    config.dry_run ? require_likely_writable(file) : require_writable(file);
  });
  if (config.dry_run) {
    require_cache_fits(opened.set, config.cache, world, config.feature_batch);
    if (world.rank() != 0) return {};
    std::cout << fmt::format(
        "dry run: would measure the quality of {} on {} images, on {} rank{}; result in {}\n",
        encoder.file().string(), info.samples, world.size(), world.size() == 1 ? "" : "s",
        output.string());
    return {};
  }

  const Quality quality = measure(job, config, opened.set, world);
  if (world.rank() != 0) return {};
  const std::int64_t channels = encoder.model().encoder.feature_channels();
  log::info(
      "quality: feature std {:.5f} ({:.5f} if spread over all {} channels), uniformity {:.4f}, "
      "alignment {}, RankMe {:.1f} of h, {} of z; {} samples, {} ({})",
      quality.feature_std, 1 / std::sqrt(static_cast<double>(channels)), channels,
      quality.uniformity, text_of(quality.alignment, 4), quality.rank_me_h,
      text_of(quality.rank_me_z, 1), info.samples, encoder.file().filename().string(),
      output.string());
  nlohmann::ordered_json result{{"protocol", "quality"},
                                {"feature_std", quality.feature_std},
                                {"uniformity", quality.uniformity},
                                {"alignment", json_of(quality.alignment)},
                                {"rankme_h", quality.rank_me_h},
                                {"rankme_z", json_of(quality.rank_me_z)},
                                {"samples", info.samples},
                                {"data", info.name},
                                {"data_hash", hash_text(opened.fingerprint)},
                                {"checkpoint", encoder.file().filename().string()},
                                {"checkpoint_hash", encoder.checksum()},
                                {"step", encoder.step()},
                                {"ranks", world.size()},
                                {"options", options_json(options.values())}};
  write_file(output, json_text(result, 2) + "\n");
  return output;
}

}  // namespace simclr
