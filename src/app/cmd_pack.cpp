#include <chrono>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/names.hpp"
#include "simclr/core/options.hpp"
#include "simclr/data/pack.hpp"
#include "simclr/io/image_file.hpp"

namespace simclr {
namespace {

void report(const PackConfig& config, const PackSummary& summary, double seconds) {
  const std::string size =
      summary.fixed_size
          ? fmt::format("{}x{} pixels", summary.fixed_size->first, summary.fixed_size->second)
          : "sizes of their own";
  const std::string labels =
      summary.classes > 0 ? fmt::format("{} classes", summary.classes) : "unlabeled";
  const std::string left_out =
      summary.left_out > 0 ? fmt::format("; left out {} damaged ones", summary.left_out) : "";
  log::info("packed {} images ({}, {}) into {} shard{} in {} ({:.1f} s){}", summary.samples, size,
            labels, summary.shards, summary.shards == 1 ? "" : "s", config.output.string(), seconds,
            left_out);
  log::info(
      "to train on them: simclr pretrain --data {} --run-dir DIR (simclr preview shows views)",
      shell_word(config.output.string()));
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
              "form of the images. folder: JPEG and PNG files, one folder for each class or all in "
              "one folder, known by their names or first bytes; idx: MNIST and its relatives, also "
              ".gz; cifar-bin: the binary version "
              "of CIFAR-10 or CIFAR-100")
      .add("input", config.input, "directory that holds the images")
      .argument("DIR")
      .choice("split", config.split, {{"train", PackSplit::train}, {"test", PackSplit::test}},
              "part of the data set to pack, with idx and cifar-bin")
      .add("images", config.idx_images,
           "with idx: file of images; unset: the file of --input that --split names")
      .add("labels", config.idx_labels,
           "with idx: file of labels; unset: the file of --input that --split names")
      .add("classes-of", config.classes_of,
           "a directory of shards, such as the training data, whose numbering of the classes is "
           "used: a class gets the number that the class of the same name has there. This set may "
           "lack some of those classes")
      .argument("DIR")
      .flag("skip-damaged", config.skip_damaged,
            "pack without damaged images and list them in damaged.txt beside the shards; without "
            "it, all are read, listed in OUTPUT.damaged.txt and refused")
      .flag("allow-empty-classes", config.allow_empty_classes,
            "with folder: class folders without images keep their class numbers; without it, they "
            "are refused");
  options.group("shards")
      .add("output", config.output, "directory to write the shards to; must be empty")
      .argument("DIR")
      .add("name", config.name, "name of the data set; empty: the output directory's name")
      .argument("NAME")
      .add("shards", config.shards, "number of files; 0: one for each 1,000 images, at most 8")
      .range(at_least(0))
      .add("resize-short", config.resize_short,
           "pixels to which the short side is resized (bicubic, antialiased); 0: images keep "
           "their size; smaller images are enlarged and counted")
      .argument("PIXELS")
      .range(at_least(0).at_most(kLongestSide))
      .choice("encoding", config.encoding,
              {{"raw", ImageEncoding::raw}, {"jpeg", ImageEncoding::jpeg}},
              "how images are stored. raw: as pixels; jpeg: as JPEG, files that are JPEG and keep "
              "their size unchanged")
      .add("jpeg-quality", config.jpeg_quality, "JPEG quality of images that are encoded anew")
      .range(at_least(1).at_most(100))
      .flag("force", config.force,
            "replace the one set of shards in an output directory that is not empty");
  options.require_given({"output"})
      .example("simclr pack --from folder --input photos --output shards/photos");
  if (!invocation.parse(options)) return 0;
  if (config.input.empty() && !config.idx_images) {
    refuse("option --input: missing; give DIR, directory that holds the images");
  }
  if (config.source != PackSource::idx && (config.idx_images || config.idx_labels)) {
    refuse("options --images and --labels: go with --from idx only");
  }
  if (config.idx_labels && !config.idx_images) {
    refuse("option --labels: goes with --images only");
  }

  const auto start = std::chrono::steady_clock::now();
  const PackSummary summary = pack(config, invocation.world);
  report(config, summary,
         std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return 0;
}

}  // namespace simclr
