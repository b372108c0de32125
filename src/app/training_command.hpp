#pragma once
// Shared by the commands that train and by those that look ahead at a training command's run.

#include <functional>
#include <initializer_list>
#include <string_view>

#include "command.hpp"
#include "simclr/train/encoder_training.hpp"

namespace simclr {

/// Takes the training command's name off the arguments if they begin with one, as in `plan finetune
/// ...`; without it the command is pretrain.
AnyTraining take_training_command(Invocation& invocation);

/// "The first argument may name ...", for the help of such a command.
inline constexpr const char* kTrainingCommandHelp =
    " The first argument may name the training command (finetune, supervised or distill), whose "
    "options it then takes; without it, it takes those of pretrain.";

/// Trains as `config` says, with --dry-run, resumption and report. `options` must have a summary;
/// config's options are declared by this function. `required`: options that must be given beside
/// --data and --run-dir. `log_next_step` says what can be done next with the run, after
/// the training has ended with this exit code.
int run_training_command(Invocation& invocation, EncoderTraining& config, Options& options,
                         std::initializer_list<std::string_view> required,
                         const std::function<void(int code)>& log_next_step);

}  // namespace simclr
