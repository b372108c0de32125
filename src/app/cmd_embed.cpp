#include <filesystem>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/eval/evaluation_job.hpp"
#include "simclr/eval/export.hpp"
#include "simclr/io/fingerprint.hpp"
#include "simclr/io/writable.hpp"

namespace simclr {

int run_embed(Invocation& invocation) {
  EvaluationConfig config;
  std::filesystem::path data;
  std::filesystem::path output;
  bool with_z = false;
  Options options("embed", "features of a data set -> HDF5", {"embed"});
  options.group("data and result")
      .add("data", data,
           "images to encode: a directory of shards; their labels and names, if any, are copied")
      .argument("DIR")
      .may_differ_between_ranks()
      .add("output", output,
           "HDF5 file to write: h or the layer of --layer by its name, sample_index, labels and "
           "names if there are any, z with --with-z")
      .flag("with-z", with_z, "write the projection head's output z, too");
  declare_layer(options, config);
  declare_encoder_options(options, config);
  options.require_given({"data", "output"})
      .example("simclr embed --checkpoint runs/r50 --data shards/test --output features.h5");
  if (!invocation.parse(options)) return 0;
  if (with_z && config.layer != "h") {
    refuse("option --with-z: goes with --layer h only; --layer z gives z alone");
  }
  on_root(invocation.world, [&] { require_writable({.file = output, .format = kFeaturesFormat}); });
  const CommonData opened = open_common(data, "data", invocation.world);

  SampleNames names;
  on_root(invocation.world, [&] { names = opened.set.names(); });

  EncoderJob job(config, invocation.world);
  if (with_z && !job.encoder().model().has_embedding()) {
    refuse("option --with-z: {} has no z, but a classifier instead of its head's last layers",
           job.encoder().file().string());
  }
  const auto features = job.features(*job.open(opened.set, config.feature_batch), with_z);
  write_features(output, features, names, job.encoder(), invocation.world);
  log::info("features of step {} written to {}", job.encoder().step(), output.string());
  return 0;
}

}  // namespace simclr
