#include <filesystem>
#include <optional>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/options.hpp"
#include "simclr/eval/export.hpp"
#include "simclr/io/writable.hpp"
#include "simclr/train/model_description.hpp"

namespace simclr {

int run_export(Invocation& invocation) {
  std::filesystem::path checkpoint;
  std::optional<std::filesystem::path> output;
  Options options("export", "checkpoint -> .safetensors with torchvision's names", {"export"});
  options
      .positional("checkpoint", checkpoint,
                  "a checkpoint file, or a run directory, which stands for its newest valid one")
      .add("output", output, "file to write; unset: beside the checkpoint, with its name")
      .rule("a name ending in .safetensors", [](const std::string& name) {
        return std::filesystem::path(name).extension() == ".safetensors";
      });
  if (!options.parse(invocation.arguments)) return 0;
  if (checkpoint.empty()) refuse("export: name a checkpoint or a run directory");
  if (output) require_directory_of(*output);
  const FoundCheckpoint found = open_checkpoint(checkpoint);
  const std::filesystem::path source = found.file.path;
  std::filesystem::path target = output.value_or(source);
  target.replace_extension(".safetensors");
  require_writable(target);
  write_safetensors(target, export_checkpoint(found.checkpoint, source.string()));
  log::info("exported {} (step {}) to {}", source.string(), found.file.step, target.string());
  const auto model = parse_model_description(found.checkpoint.model, source.string());
  const std::string hint = loading_hint(model.encoder);
  if (!hint.empty()) log::warning("before loading: {}; else the features are wrong", hint);
  return 0;
}

}  // namespace simclr
