#include <algorithm>

#include "simclr/core/check.hpp"
#include "simclr/train/classifier_config.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {
namespace {

std::unique_ptr<EncoderTraining> make_training(std::string_view command) {
  if (command == "finetune") return std::make_unique<FinetuneConfig>();
  if (command == "supervised") return std::make_unique<SupervisedConfig>();
  if (command == "distill") return std::make_unique<DistillConfig>();
  require(command == "pretrain", "a training command must be one of training_commands()");
  return std::make_unique<PretrainConfig>();
}

}  // namespace

AnyTraining::AnyTraining(std::string_view command) : training_(make_training(command)) {}

const std::vector<std::string>& training_commands() {
  static const std::vector<std::string> commands{"pretrain", "finetune", "supervised", "distill"};
  return commands;
}

AnyTraining read_training(const std::string& text, const std::string& origin) {
  const std::string section = stored_section(text);
  const auto& commands = training_commands();
  const bool is_command = std::ranges::find(commands, section) != commands.end();
  AnyTraining training(is_command ? section : commands.front());
  Options options = declared_options(*training);
  read_stored_options(options, text, origin);
  return training;
}

}  // namespace simclr
