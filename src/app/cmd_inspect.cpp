#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <span>
#include <utility>

#include "command.hpp"
#include "inspect.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/options.hpp"
#include "simclr/eval/export.hpp"
#include "simclr/io/array_file.hpp"
#include "simclr/io/checkpoint.hpp"
#include "simclr/io/shard_set.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

constexpr double kMegabyte = 1e6;

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
  inspect_line("data set", "{}", info.name);
  inspect_line("samples", "{} in {}", info.samples, info.shard_names());
  inspect_line("images", "{}{} x {} (height x width), {}", info.fixed_size ? "" : "up to ",
               info.height, info.width, info.encoding == ImageEncoding::raw ? "raw" : "JPEG");
  inspect_line("labels", "{}", describe_labels(info));
  inspect_line("names", "{}", describe_names(set.names()));
  inspect_line("stored", "{:.1f} MB",
               static_cast<double>(set.stored_bytes(0, info.samples)) / kMegabyte);
  for (std::size_t s = 0; s < info.shards.size(); ++s) {
    const std::int64_t end = s + 1 < info.shards.size() ? info.first_sample[s + 1] : info.samples;
    inspect_line(fmt::format("shard {}", s), "{}: samples {} to {}",
                 info.shards[s].filename().string(), info.first_sample[s], end - 1);
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
  inspect_line("verified", "{:.1f} MB against {} checksums, {} wrong",
               static_cast<double>(total.bytes) / kMegabyte, total.blocks, total.problems.size());
  if (total.unchecked_bytes > 0) {
    inspect_line("only read", "{:.1f} MB without checksums",
                 static_cast<double>(total.unchecked_bytes) / kMegabyte);
  }
  if (total.decoded > 0) inspect_line("decoded", "{} images", total.decoded);
  return total.problems.empty() ? 0 : 1;
}

/// Verifies all checkpoints of a run, not only the newest valid one.
int verify_checkpoints(const fs::path& run) {
  int status = 0;
  for (const CheckpointFile& file : list_checkpoints(run / "checkpoints")) {
    try {
      (void)verified_checkpoint(file.path);
      inspect_line("verified", "{}", file.path.string());
    } catch (const RefusedError& error) {
      log::error("{}", error.what());
      status = 1;
    }
  }
  return status;
}

int inspect_run(const fs::path& run_or_checkpoint, bool verify) {
  inspect_checkpoint(run_or_checkpoint);
  return verify && fs::is_directory(run_or_checkpoint) ? verify_checkpoints(run_or_checkpoint) : 0;
}

/// Refuses --verify for a file without checksums: nothing of it could be said to be right.
void require_checksums(const std::string& what, const fs::path& file, bool verify) {
  if (!verify) return;
  refuse("option --verify: {} is a file of {}, which has no checksums", file.string(), what);
}

/// What a file that is not safetensors holds, by its format.
int inspect_hdf5(const fs::path& file, bool verify) {
  const std::string format = hdf5_file_attribute(file, "format");
  if (format == "simclr-checkpoint") return inspect_run(file, verify);
  for (const auto& [known, what] :
       {std::pair(kFeaturesFormat, "features"), std::pair(kPredictionsFormat, "predictions")}) {
    if (format != known) continue;
    require_checksums(what, file, verify);
    inspect_arrays(what, file);
    return 0;
  }
  return inspect_shards(file, verify);
}

}  // namespace

int run_inspect(Invocation& invocation) {
  fs::path path;
  bool verify = false;
  Options options("inspect", "what is in a shard set, a checkpoint or a file made from one",
                  {"inspect"});
  options
      .positional("path", path,
                  "what to look at: a directory of shards, one shard, a checkpoint, a run "
                  "directory, which stands for its newest valid checkpoint, exported weights "
                  "(.safetensors), features or predictions")
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
  if (fs::is_directory(path)) {
    return fs::is_directory(path / "checkpoints") ? inspect_run(path, verify)
                                                  : inspect_shards(path, verify);
  }
  if (!fs::is_regular_file(path) || !is_safetensors(path)) return inspect_hdf5(path, verify);
  require_checksums("weights", path, verify);
  inspect_safetensors(path);
  return 0;
}

}  // namespace simclr
