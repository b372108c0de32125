#include "training_command.hpp"

#include <algorithm>
#include <iostream>
#include <optional>

#include "simclr/core/check.hpp"
#include "simclr/report/report.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {

AnyTraining take_training_command(Invocation& invocation) {
  auto& arguments = invocation.arguments;
  const auto& known = training_commands();
  if (arguments.empty() || std::ranges::find(known, arguments.front()) == known.end()) {
    return {};
  }
  AnyTraining training(arguments.front());
  arguments.erase(arguments.begin());
  return training;
}

int run_training_command(Invocation& invocation, EncoderTraining& config, Options& options,
                         std::initializer_list<std::string_view> required,
                         const std::function<void(int code)>& log_next_step) {
  config.declare(options);
  std::optional<DryRun> dry;
  options.group("instead of training")
      .action<DryRun>("dry-run", dry, {{"here", DryRun::here}, {"elsewhere", DryRun::elsewhere}},
                      "check all that can be checked before work begins, say in one line what "
                      "would be done, write nothing; exit code 0, or 2 with the refusal. here: "
                      "with the ranks, devices and memory of this start; elsewhere: without what "
                      "depends on machine and job (device, memory, time limit) and without MPI, "
                      "for login nodes");
  continue_stored_run(options, config);
  options.require_given(required);
  if (!invocation.parse(options)) return 0;
  config.note_given(options);
  stay_with_configuration(config, invocation.arguments);
  if (dry) {
    const std::string line = dry_run(config, *dry, invocation.world);
    if (invocation.world.rank() == 0) std::cout << line << '\n';
    return 0;
  }
  const bool writes_report = invocation.world.rank() == 0;
  try {
    const int code = run_training(config, this_build(), invocation.world);
    log_next_step(code);
    if (writes_report) refresh_report(config.run_dir, Pairs::render);
    return code;
  } catch (const std::exception& error) {
    // No pictures: other ranks wait for this one to end, and the data may have caused the failure.
    if (writes_report && !is_refusal(error)) refresh_report(config.run_dir, Pairs::leave_out);
    throw;
  }
}

}  // namespace simclr
