// Writes the training views: as a picture to look at, or as a file to audit.

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/checked.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/options.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/data/memory_budget.hpp"
#include "simclr/io/array_file.hpp"
#include "simclr/io/image_file.hpp"
#include "simclr/io/writable.hpp"
#include "simclr/report/report.hpp"
#include "simclr/tensor/convert.hpp"
#include "simclr/train/encoder_training.hpp"
#include "simclr/train/system_info.hpp"
#include "training_command.hpp"

namespace simclr {
namespace {

struct PreviewConfig {
  AnyTraining training;
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
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return {};
  const bool valid = read_value(text.substr(0, colon), range.begin, at_least(0)) &&
                     read_value(text.substr(colon + 1), range.end, at_least(0)) &&
                     range.begin < range.end;
  return valid ? std::optional(range) : std::nullopt;
}

/// Refuses more views than the disk has room for.
void require_room(const PreviewConfig& config) {
  const StepRange range = parse_steps(*config.steps).value();
  const std::int64_t side = config.training->image_size;
  const std::array<std::int64_t, 7> factors{range.end - range.begin,
                                            config.training->views_per_sample(),
                                            config.training->batch_size,
                                            side,
                                            side,
                                            3,
                                            sizeof(float)};
  const auto bytes = checked_product(factors);
  std::error_code unknown;
  const auto disk = std::filesystem::space(absolute(config.output).parent_path(), unknown);
  if (!bytes) refuse("option --steps: no file holds the views of {} steps", factors[0]);
  const bool has_size = !unknown && disk.capacity > 0;  // some file systems do not tell theirs
  if (!has_size || *bytes <= disk.available) return;
  refuse(
      "option --steps: the views of {} steps take {}, but the disk of {} has {} free; name fewer "
      "steps",
      factors[0], size_text(*bytes), config.output.string(), size_text(disk.available));
}

/// Makes the checks that need no data.
void validate(const PreviewConfig& config) {
  const std::string kind = config.output.extension().string();
  if (kind == ".h5" && !config.steps) {
    refuse("option --steps: missing; give the batches that {} is to hold, such as --steps 0:5",
           config.output.string());
  }
  if (kind == ".png" && config.steps) {
    refuse("option --steps: goes with an --output ending in .h5, not with {}",
           config.output.string());
  }
  Output output{.file = config.output};
  if (kind == ".png") output.begins = "\x89PNG";
  if (kind == ".h5") output.dataset = "views";
  require_likely_writable(output);
}

int count_threads(const EncoderTraining& config) {
  if (config.loader_threads > 0) return config.loader_threads;
  if (config.device.threads > 0) return config.device.threads;
  return available_cores();
}

LoaderConfig loader_config(const EncoderTraining& config, Communicator& makers) {
  LoaderConfig loader;
  loader.augmentation = config.augmentation();
  loader.seed = config.seed;
  loader.shuffle = config.shuffle;
  loader.batch_size = config.batch_size;
  loader.views_per_sample = config.views_per_sample();
  loader.view_type = activation_type(intended_precision(config.device, makers));
  loader.threads = count_threads(config);
  return loader;
}

void write_picture(const PreviewConfig& config) {
  write_png(config.output, augmented_pairs(*config.training, config.samples));
  log::info("wrote {}: each group is a stored image and its two views", config.output.string());
}

/// Maximum memory of the views of one part.
constexpr std::int64_t kPartBytes = std::int64_t{128} << 20;

/// Returns the least number of equal parts of a batch that the ranks can share and that are small
/// enough.
std::int64_t count_parts(const LoaderConfig& loader, std::int64_t ranks) {
  const std::int64_t side = loader.augmentation.image_size;
  const std::int64_t sample_bytes =
      loader.views_per_sample * side * side * 3 * std::int64_t{sizeof(float)};
  const std::int64_t most = loader.batch_size / ranks;
  std::int64_t parts = 1;
  while (parts < most &&
         (most % parts != 0 || loader.batch_size / parts * sample_bytes > kPartBytes)) {
    ++parts;
  }
  return parts;
}

/// Returns the values of all ranks in rank order.
template <class T>
std::vector<T> gather(std::span<const T> own, Communicator& world) {
  std::vector<T> all(own.size() * static_cast<std::size_t>(world.size()));
  world.all_gather({own.data(), own.size_bytes(), DType::u8},
                   {all.data(), all.size() * sizeof(T), DType::u8});
  return all;
}

/// Converts the views to float; the values are those that training computes with.
std::vector<float> widened(const HostBuffer& views) {
  std::vector<float> wide(views.size());
  with_type(views.dtype(), [&]<class T>(T) {
    std::ranges::transform(views.values<T>(), wide.begin(), convert_value<float, T>);
  });
  return wide;
}

std::unique_ptr<ArrayFile> create_file(const std::filesystem::path& path,
                                       const LoaderConfig& loader, bool labeled,
                                       Communicator& world) {
  const std::int64_t steps = loader.end_step - loader.first_step;
  const std::int64_t side = loader.augmentation.image_size;
  std::unique_ptr<ArrayFile> file;
  on_root(world, [&] {
    file = std::make_unique<ArrayFile>(path);
    file->create("views", ArrayFile::Type::f32,
                 {steps, loader.views_per_sample, loader.batch_size, side, side, 3});
    file->create("sample_index", ArrayFile::Type::i64, {steps, loader.batch_size});
    if (labeled) file->create("labels", ArrayFile::Type::i64, {steps, loader.batch_size});
    file->attribute("first_step", loader.first_step);
  });
  return file;
}

/// Writes the views of steps [loader.first_step, loader.end_step) as training makes them:
/// `views` float32 (S, V, N, H, W, 3), `sample_index` and, of labeled data, `labels` int64 (S, N),
/// V = loader.views_per_sample, N = loader.batch_size. Every rank of `world` makes its share, rank
/// 0 writes. The global batch is made in parts, as more ranks would make it, so that memory stays
/// small for any N. Collective.
void write_view_audit(const std::filesystem::path& path, SampleStore& store, LoaderConfig loader,
                      Communicator& world) {
  const std::int64_t parts = count_parts(loader, world.size());
  loader.world_size = static_cast<int>(parts) * world.size();
  const std::int64_t share = loader.batch_size / loader.world_size;  // samples of a rank in a part
  const auto side = static_cast<std::size_t>(loader.augmentation.image_size);
  const std::size_t view_elements = static_cast<std::size_t>(share) * side * side * 3;

  const bool labeled = !store.labels().empty();
  const std::unique_ptr<ArrayFile> file = create_file(path, loader, labeled, world);
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t first_rank = part * world.size();
    loader.rank = static_cast<int>(first_rank) + world.rank();
    TrainingLoader batches(store, loader);
    for (std::int64_t step = 0; step < loader.end_step - loader.first_step; ++step) {
      const ViewBatch& batch = batches.next();
      const auto samples = gather(std::span(batch.sample_index), world);
      const std::vector<std::int64_t> own_labels(batch.labels.begin(), batch.labels.end());
      const auto labels = gather(std::span<const std::int64_t>(own_labels), world);
      const std::vector<float> own = widened(batch.views);
      const auto views = gather(std::span<const float>(own), world);
      if (!file) continue;
      file->write("sample_index", {step, first_rank * share}, std::span(samples));
      if (labeled) file->write("labels", {step, first_rank * share}, std::span(labels));
      std::size_t at = 0;
      for (int rank = 0; rank < world.size(); ++rank) {
        for (std::int64_t view = 0; view < loader.views_per_sample; ++view, at += view_elements) {
          file->write("views", {step, view, (first_rank + rank) * share},
                      std::span(views).subspan(at, view_elements));
        }
      }
    }
  }
  on_root(world, [&] { file->finish(); });
}

void write_audit(const PreviewConfig& config, ShardSet data, Communicator& makers) {
  const StepRange range = parse_steps(*config.steps).value();
  // Few samples are needed, so --cache auto means to read them one by one.
  const CacheMode asked = config.training->cache;
  const CacheMode cache = asked == CacheMode::automatic ? CacheMode::none : asked;
  auto store = open_sample_store(std::move(data), cache, makers, count_threads(*config.training),
                                 config.training->batch_size / makers.size());
  if (const SampleChoice* const choice = config.training->sample_choice()) {
    store = make_subset_store(std::move(store), *choice);
  }
  LoaderConfig loader = loader_config(*config.training, makers);
  loader.first_step = range.begin;
  loader.end_step = range.end;
  write_view_audit(config.output, *store, loader, makers);
  log::info("wrote {}: the views of steps {} to {}, {} samples each, rounded to {}",
            config.output.string(), range.begin, range.end - 1, loader.batch_size,
            name_of(loader.view_type));
}

}  // namespace

int run_preview(Invocation& invocation) {
  PreviewConfig config{.training = take_training_command(invocation)};
  Options options("preview",
                  std::string("Training views as the program makes them, to look at or to audit.") +
                      kTrainingCommandHelp,
                  {config.training->command(), "preview"});
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
      .argument("A:B")
      .add("samples", config.samples, "number of images in the picture")
      .range(at_least(1).at_most(300));
  config.training->declare(options);
  options.require_given({"output", "data"})
      .example("simclr preview --data shards/photos --image-size 96 --output pairs.png");
  if (!invocation.parse(options)) return 0;
  config.training->note_given(options);
  config.training->validate();
  validate(config);
  // Views do not depend on the number of ranks: rank 0 works alone on a picture, and on batches
  // that the ranks cannot share equally.
  Communicator& world = invocation.world;
  ShardSet data(config.training->data);
  config.training->prepare(data, OpenWeights::yes, world);
  if (!config.steps) {
    if (world.rank() == 0) write_picture(config);
    return 0;
  }
  on_root(world, [&] { require_room(config); });
  config.training->validate_data(data.info());
  const bool shared = config.training->batch_size % world.size() == 0;
  if (!shared && world.rank() != 0) return 0;
  const auto alone = make_self_communicator();
  write_audit(config, std::move(data), shared ? world : *alone);
  return 0;
}

}  // namespace simclr
