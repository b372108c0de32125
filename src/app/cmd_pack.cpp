#include <chrono>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/options.hpp"
#include "simclr/data/pack.hpp"

namespace simclr {
namespace {

void report(const PackConfig& config, const PackSummary& summary, double seconds) {
  const std::string size =
      summary.fixed_size
          ? fmt::format("{}x{} pixels", summary.fixed_size->first, summary.fixed_size->second)
          : "sizes of their own";
  const std::string labels =
      summary.classes > 0 ? fmt::format("{} classes", summary.classes) : "unlabelled";
  log::info("packed {} images ({}, {}) into {} shards in {} ({:.1f} s)", summary.samples, size,
            labels, summary.shards, config.output.string(), seconds);
}

}  // namespace

int run_pack(Invocation& invocation) {
  PackConfig config;
  Options options("pack", "images -> HDF5 shards, in parallel over ranks", {"pack"});
  options.group("source")
      .choice("from", config.source,
              {{"folder", PackSource::folder},
               {"idx", PackSource::idx},
               {"cifar-bin", PackSource::cifar_bin}},
              "folder: JPEG and PNG files, a folder a class or all in one; idx: MNIST and its "
              "relatives, also .gz; cifar-bin: CIFAR-10 and -100, binary version")
      .add("input", config.input, "directory with the images")
      .choice("split", config.split, {{"train", PackSplit::train}, {"test", PackSplit::test}},
              "which part, for idx and cifar-bin")
      .add("images", config.idx_images, "idx: this file of images instead of one found by name")
      .add("labels", config.idx_labels, "idx: this file of labels instead of one found by name");
  options.group("shards")
      .add("output", config.output, "directory to write; must be empty")
      .add("name", config.name, "name of the data set; by default the output directory's")
      .add("shards", config.shards, "number of files; 0: 8, or fewer for fewer images")
      .add("resize-short", config.resize_short,
           "resize the short side to this many pixels (antialiased, bicubic); 0: as they are")
      .choice("encoding", config.encoding,
              {{"raw", ImageEncoding::raw}, {"jpeg", ImageEncoding::jpeg}},
              "pixels, or JPEG (files that are JPEG and keep their size are stored as they are)")
      .add("jpeg-quality", config.jpeg_quality, "1 to 100, where images are encoded anew")
      .flag("force", config.force, "replace the shards of an output that is not empty");
  if (!options.parse(invocation.arguments)) return 0;
  if (config.input.empty() && !config.idx_images) refuse("pack: --input is missing");
  if (config.output.empty()) refuse("pack: --output is missing");
  if (config.source != PackSource::idx && (config.idx_images || config.idx_labels)) {
    refuse("--images and --labels go with --from idx");
  }
  if (config.idx_labels && !config.idx_images) refuse("--labels needs --images");

  const auto start = std::chrono::steady_clock::now();
  const PackSummary summary = pack(config, invocation.world);
  report(config, summary,
         std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return 0;
}

}  // namespace simclr
