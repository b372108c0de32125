// Writes the training views: as a picture to look at, or as a file to audit.

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <iostream>
#include <optional>

#include "command.hpp"
#include "output_file.hpp"
#include "preview.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/options.hpp"
#include "simclr/io/image_file.hpp"
#include "simclr/report/augmented_pairs.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {
namespace {

struct PreviewConfig {
  PretrainConfig pretrain;
  std::filesystem::path output;
  std::optional<std::string> steps;
  std::int64_t samples = 18;
};

struct StepRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;  ///< excluded
};

/// Reads A:B; empty if the text is something else.
std::optional<StepRange> parse_steps(const std::string& text) {
  StepRange range;
  const char* last = text.data() + text.size();
  const auto [colon, first_error] = std::from_chars(text.data(), last, range.begin);
  const bool first_ok = first_error == std::errc() && colon != last && *colon == ':';
  const auto [rest, second_error] = std::from_chars(first_ok ? colon + 1 : last, last, range.end);
  const bool second_ok = second_error == std::errc() && rest == last;
  if (!first_ok || !second_ok || range.begin < 0 || range.end <= range.begin) return {};
  return range;
}

/// Makes the checks that need no data.
void validate(const PreviewConfig& config) {
  if (config.pretrain.data.empty()) refuse("option --data is missing: a directory of shards");
  if (config.output.empty()) {
    refuse("option --output is missing: FILE.png for a picture, FILE.h5 with --steps to audit");
  }
  const std::string kind = config.output.extension().string();
  if (kind == ".h5" && !config.steps) {
    refuse("option --steps is missing: which batches {} is to hold, e.g. --steps 0:5",
           config.output.string());
  }
  if (kind == ".png" && config.steps) {
    refuse("option --steps goes with an --output ending in .h5, not with '{}'",
           config.output.string());
  }
  require_directory_of(config.output);
}

int count_threads(const PretrainConfig& config) {
  if (config.loader_threads > 0) return config.loader_threads;
  if (config.device.threads > 0) return config.device.threads;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? std::max(1, CPU_COUNT(&cores)) : 1;
}

LoaderConfig loader_config(const PretrainConfig& config, Communicator& makers) {
  LoaderConfig loader;
  loader.augmentation = config.augmentation();
  loader.seed = config.seed;
  loader.shuffle = config.shuffle;
  loader.batch_size = config.batch_size;
  loader.view_type = activation_type(intended_precision(config.device, makers));
  loader.threads = count_threads(config);
  return loader;
}

void write_picture(const PreviewConfig& config) {
  write_png(config.output, augmented_pairs(config.pretrain, config.samples));
  log::info("wrote {}: each group is a stored image and its two views", config.output.string());
}

void write_audit(const PreviewConfig& config, Communicator& makers) {
  const StepRange range = parse_steps(*config.steps).value();
  // Few samples are needed, so --cache auto means to read them one by one.
  const CacheMode asked = config.pretrain.cache;
  const CacheMode cache = asked == CacheMode::automatic ? CacheMode::none : asked;
  const auto store =
      open_sample_store(config.pretrain.data, cache, makers, count_threads(config.pretrain),
                        config.pretrain.batch_size / makers.size());
  config.pretrain.validate_data(store->info());
  LoaderConfig loader = loader_config(config.pretrain, makers);
  loader.first_step = range.begin;
  loader.end_step = range.end;
  write_view_audit(config.output, *store, loader, makers);
  log::info("wrote {}: the views of steps {} to {}, {} samples each, rounded to {}",
            config.output.string(), range.begin, range.end - 1, loader.batch_size,
            name_of(loader.view_type));
}

}  // namespace

int run_preview(Invocation& invocation) {
  PreviewConfig config;
  Options options("preview", "training views as the program makes them, to look at or to audit",
                  {"pretrain", "preview"});
  options.group("preview")
      .add("output", config.output,
           "file to write. FILE.png: a picture of some images and their views; FILE.h5, with "
           "--steps: the views of whole batches")
      .rule("a name ending in .png or .h5",
            [](const std::string& name) {
              const std::string kind = std::filesystem::path(name).extension().string();
              return kind == ".png" || kind == ".h5";
            })
      .add(
          "steps", config.steps,
          "A:B, the batches to write: from step A, counted from 0, up to step B, which is excluded")
      .rule("A:B with 0 <= A < B (B excluded)",
            [](const std::string& text) { return parse_steps(text).has_value(); })
      .add("samples", config.samples, "number of images in the picture")
      .range(at_least(1).at_most(300));
  config.pretrain.declare(options);
  if (!options.parse(invocation.arguments)) return 0;
  config.pretrain.validate();
  validate(config);
  // Views do not depend on the number of ranks: rank 0 works alone on a picture, and on batches
  // that the ranks cannot share equally.
  Communicator& world = invocation.world;
  const bool shared = config.steps && config.pretrain.batch_size % world.size() == 0;
  if (!shared && world.rank() != 0) return 0;
  if (config.steps) {
    const auto alone = make_self_communicator();
    write_audit(config, shared ? world : *alone);
  } else {
    write_picture(config);
  }
  return 0;
}

}  // namespace simclr
