#include "command.hpp"
#include "simclr/train/pretrain.hpp"
#include "version.hpp"

namespace simclr {

int run_pretrain(Invocation& invocation) {
  PretrainConfig config;
  Options options("pretrain", "Pretrains an encoder with SimCLR: the main job.", {"pretrain"});
  declare_pretrain_options(options, config);
  if (!options.parse(invocation.arguments)) return 0;
  return pretrain(config, {program_version(), git_commit(), compiler_description()},
                  invocation.world);
}

}  // namespace simclr
