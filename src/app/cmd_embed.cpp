#include <filesystem>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/eval/evaluation_job.hpp"
#include "simclr/eval/export.hpp"

namespace simclr {

int run_embed(Invocation& invocation) {
  EvaluationConfig config;
  std::filesystem::path data;
  std::filesystem::path output;
  bool with_z = false;
  Options options("embed", "features of a data set -> HDF5", {"embed"});
  options.group("data and result")
      .add("data", data,
           "images to encode: a directory of shards; their labels, if any, are copied")
      .may_differ_between_ranks()
      .add("output", output,
           "HDF5 file to write: h, sample_index, labels if there are any, z with --with-z")
      .flag("with-z", with_z, "write the projection head's output z, too");
  declare_encoder_options(options, config);
  if (!invocation.parse(options)) return 0;
  if (data.empty()) refuse("option --data: name a directory of shards");
  if (output.empty()) refuse("option --output: name the file to write");
  require_directory_of(output);
  const ShardSet refused_if_bad(data);

  EncoderJob job(config, invocation.world);
  const auto features = job.features(data, with_z);
  write_features(output, features, job.encoder(), invocation.world);
  log::info("features of step {} written to {}", job.encoder().step(), output.string());
  return 0;
}

}  // namespace simclr
