#include <fmt/ranges.h>

#include <filesystem>
#include <iostream>
#include <optional>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/names.hpp"
#include "simclr/core/options.hpp"
#include "simclr/eval/export.hpp"
#include "simclr/io/writable.hpp"
#include "simclr/train/model_description.hpp"

namespace simclr {
namespace {

std::string preprocessing(const ModelDescription& model) {
  if (!model.mean || !model.std) return "not normalized";
  return fmt::format("normalized by mean {} and standard deviation {}", fmt::join(*model.mean, ","),
                     fmt::join(*model.std, ","));
}

}  // namespace

int run_export(Invocation& invocation) {
  std::filesystem::path checkpoint;
  std::optional<std::filesystem::path> output;
  bool encoder_only = false;
  Options options("export", "checkpoint -> .safetensors with torchvision's names", {"export"});
  options
      .positional("checkpoint", checkpoint,
                  "a checkpoint file, or a run directory, which stands for its newest valid one")
      .argument("RUN_OR_FILE")
      .add("output", output, "file to write; unset: beside the checkpoint, with its name")
      .rule("a name ending in .safetensors",
            [](const std::string& name) {
              return std::filesystem::path(name).extension() == ".safetensors";
            })
      .flag("encoder-only", encoder_only, "leave out the projection head and the classifier")
      .require_given({"checkpoint"})
      .example("simclr export runs/r50 --output encoder.safetensors");
  if (!options.parse(invocation.arguments)) return 0;
  if (output) require_writable({*output});
  const FoundCheckpoint found = open_checkpoint(checkpoint);
  const std::filesystem::path source = found.file.path;
  std::filesystem::path target = output.value_or(source);
  target.replace_extension(".safetensors");
  if (!output) require_writable({target});
  ModelDescription model = parse_model_description(found.checkpoint.model, source.string());
  if (encoder_only) model.classifier.reset();
  write_safetensors(target,
                    export_checkpoint(found.checkpoint, source.string(),
                                      encoder_only ? ExportParts::encoder : ExportParts::all));
  log::info("exported {} (step {}) to {}", source.string(), found.file.step, target.string());
  log::info("the encoder expects RGB in [0, 1], {}; it was trained on {} x {} pixels",
            preprocessing(model), model.image_size, model.image_size);
  const std::string hint = loading_hint(model.encoder);
  if (!hint.empty()) log::warning("before loading: {}; else the features are wrong", hint);
  std::cout << loading_code(model, target);
  return 0;
}

}  // namespace simclr
