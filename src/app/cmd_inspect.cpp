#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <span>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/foreign_text.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/options.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/io/shard_set.hpp"
#include "simclr/train/encoder_weights.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr double kMegabyte = 1e6;

template <class... Args>
void line(std::string_view what, fmt::format_string<Args...> format, Args&&... args) {
  const std::string text = fmt::format(format, std::forward<Args>(args)...);
  std::cout << fmt::format("{:<14} {}\n", what, printable(text));
}

std::string describe_labels(const ShardSetInfo& info) {
  const bool multi_label = info.mark_columns > 0;
  if (!info.labeled && !multi_label) return "none";
  std::string text =
      fmt::format("{} classes{}", info.classes, multi_label ? ", any number for a sample" : "");
  if (info.labeled && info.labeled_samples < info.samples) {
    text = fmt::format("of {} samples, {}", info.labeled_samples, text);
  }
  constexpr std::size_t kShownNames = 20;
  if (!info.class_names.empty() && info.class_names.size() <= kShownNames) {
    text += fmt::format(": {}", fmt::join(info.class_names, ", "));
  }
  return text;
}

std::string describe_names(const SampleNames& names) {
  if (names.empty()) return "none";
  return fmt::format("{} to {}", names[0], names[names.size() - 1]);
}

void describe(const ShardSet& set) {
  const ShardSetInfo& info = set.info();
  line("data set", "{}", info.name);
  line("samples", "{} in {}", info.samples, info.shard_names());
  line("images", "{}{} x {} (height x width), {}", info.fixed_size ? "" : "up to ", info.height,
       info.width, info.encoding == ImageEncoding::raw ? "raw" : "JPEG");
  line("labels", "{}", describe_labels(info));
  line("names", "{}", describe_names(set.names()));
  line("stored", "{:.1f} MB", static_cast<double>(set.stored_bytes(0, info.samples)) / kMegabyte);
  for (std::size_t s = 0; s < info.shards.size(); ++s) {
    const std::int64_t end = s + 1 < info.shards.size() ? info.first_sample[s + 1] : info.samples;
    line(fmt::format("shard {}", s), "{}: samples {} to {}", info.shards[s].filename().string(),
         info.first_sample[s], end - 1);
  }
}

void report_problems(const std::vector<std::string>& problems) {
  constexpr std::size_t kMostShown = 50;
  const std::size_t shown = std::min(problems.size(), kMostShown);
  for (const std::string& problem : std::span(problems).first(shown)) log::error("{}", problem);
  if (shown < problems.size()) log::error("{} more problems", problems.size() - shown);
}

int inspect_shards(const fs::path& path, bool verify) {
  const ShardSet set(path);
  describe(set);
  if (!verify) return 0;
  VerifyReport total;
  for (const fs::path& shard : set.info().shards) {
    const VerifyReport report = verify_shard(shard);
    total.bytes += report.bytes;
    total.blocks += report.blocks;
    total.unchecked_bytes += report.unchecked_bytes;
    total.decoded += report.decoded;
    report_problems(report.problems);
    for (const std::string& dataset : report.unchecked) {
      log::warning("{}: has no checksums", dataset);
    }
    total.problems.insert(total.problems.end(), report.problems.begin(), report.problems.end());
  }
  line("verified", "{:.1f} MB against {} checksums, {} wrong",
       static_cast<double>(total.bytes) / kMegabyte, total.blocks, total.problems.size());
  if (total.unchecked_bytes > 0) {
    line("only read", "{:.1f} MB without checksums",
         static_cast<double>(total.unchecked_bytes) / kMegabyte);
  }
  if (total.decoded > 0) line("decoded", "{} images", total.decoded);
  return total.problems.empty() ? 0 : 1;
}

std::int64_t elements(const std::vector<NamedTensor>& tensors) {
  std::int64_t sum = 0;
  for (const NamedTensor& tensor : tensors) sum += tensor.shape.elements();
  return sum;
}

/// Reads a checkpoint, which compares all checksums, and checks all that a command may need of it.
FoundCheckpoint verified_checkpoint(const fs::path& path) {
  FoundCheckpoint found = open_checkpoint(path);
  (void)require_model(found.checkpoint, found.file.path.string());
  return found;
}

void inspect_checkpoint(const fs::path& path) {
  const FoundCheckpoint found = verified_checkpoint(path);
  const Checkpoint& checkpoint = found.checkpoint;
  line("checkpoint", "{}", found.file.path.string());
  line("step", "{} (epoch {})", checkpoint.step, checkpoint.epoch);
  line("seed", "{}", checkpoint.seed);
  line("model", "{}", checkpoint.model);
  line("parameters", "{} in {} tensors", elements(checkpoint.parameters),
       checkpoint.parameters.size());
  line("running", "{} in {} tensors", elements(checkpoint.running), checkpoint.running.size());
  line("momentum", "{} in {} tensors", elements(checkpoint.momentum), checkpoint.momentum.size());
  if (const auto& scaling = checkpoint.loss_scaling) {
    line("loss scale", "{}, {} steps skipped", scaling->scale, scaling->skipped_steps);
  }
  line("checksum", "{} (verified)", checkpoint.checksum);
  std::cout << "\n" << printable(checkpoint.configuration, LineBreaks::kept);
}

/// Verifies all checkpoints of a run, not only the newest valid one.
int verify_checkpoints(const fs::path& run) {
  int status = 0;
  for (const CheckpointFile& file : list_checkpoints(run / "checkpoints")) {
    try {
      (void)verified_checkpoint(file.path);
      line("verified", "{}", file.path.string());
    } catch (const RefusedError& error) {
      log::error("{}", error.what());
      status = 1;
    }
  }
  return status;
}

bool is_checkpoint(const fs::path& path) {
  if (fs::is_directory(path)) return fs::is_directory(path / "checkpoints");
  return hdf5_file_attribute(path, "format") == "simclr-checkpoint";
}

}  // namespace

int run_inspect(Invocation& invocation) {
  fs::path path;
  bool verify = false;
  Options options("inspect", "what is in a shard set or a checkpoint", {"inspect"});
  options
      .positional("path", path,
                  "what to look at: a directory of shards, one shard, a checkpoint, or a run "
                  "directory, which stands for its newest valid checkpoint")
      .argument("PATH")
      .flag(
          "verify", verify,
          "read every byte and compare it with the checksums; decode encoded images without "
          "checksums. Exit code 1: a checksum of the data set differs, samples cannot be read or "
          "decoded, or one of a run's older checkpoints is damaged; 2: the file itself is damaged "
          "or cannot be read")
      .require_given({"path"})
      .example("simclr inspect shards/photos --verify");
  if (!options.parse(invocation.arguments)) return 0;
  if (!fs::exists(path)) refuse_unreadable(path, ENOENT);
  if (!is_checkpoint(path)) return inspect_shards(path, verify);
  inspect_checkpoint(path);
  return verify && fs::is_directory(path) ? verify_checkpoints(path) : 0;
}

}  // namespace simclr
