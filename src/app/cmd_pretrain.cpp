#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/report/report.hpp"
#include "simclr/train/pretrain.hpp"
#include "version.hpp"

namespace simclr {

int run_pretrain(Invocation& invocation) {
  PretrainConfig config;
  Options options("pretrain", "Pretrains an encoder with SimCLR: the main job.", {"pretrain"});
  declare_pretrain_options(options, config);
  if (!options.parse(invocation.arguments)) return 0;
  const bool writes_report = invocation.world.rank() == 0;
  try {
    const int code = pretrain(config, {program_version(), git_commit(), compiler_description()},
                              invocation.world);
    if (writes_report) refresh_report(config.run_dir, Pairs::render);
    return code;
  } catch (const RefusedError&) {
    throw;
  } catch (const std::exception&) {
    // The other ranks wait for this one to give up as well, and the data may be what failed.
    if (writes_report) refresh_report(config.run_dir, Pairs::leave_out);
    throw;
  }
}

}  // namespace simclr
