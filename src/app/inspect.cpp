#include "inspect.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "simclr/core/foreign_text.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/io/array_summary.hpp"
#include "simclr/io/safetensors.hpp"
#include "simclr/train/encoder_training.hpp"
#include "simclr/train/encoder_weights.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

std::int64_t elements(const std::vector<NamedTensor>& tensors) {
  std::int64_t sum = 0;
  for (const NamedTensor& tensor : tensors) sum += tensor.shape.elements();
  return sum;
}

void tensors_line(const char* what, const std::vector<NamedTensor>& tensors) {
  if (tensors.empty()) return;
  inspect_line(what, "{} values in {} tensors", elements(tensors), tensors.size());
}

std::string shown(const Json& value) {
  if (value.is_null()) return "none";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return value.is_string() ? value.get<std::string>() : json_text(value);
}

void print_field(const std::string& name, const std::string& text) {
  std::cout << fmt::format("  {:<30} {}\n", printable(name), printable(text));
}

/// Prints the fields of a model's description, which has been parsed before.
void print_model(const std::string& description) {
  inspect_line("model", "");
  const Json model = Json::parse(description);
  for (const auto& [field, value] : model.items()) {
    std::string what = field;
    std::ranges::replace(what, '_', ' ');
    print_field(what, shown(value));
  }
}

/// The default values of the options of the command that the text's section names.
std::map<std::string, std::string> defaults_of(const std::string& configuration) {
  const std::string command = stored_section(configuration);
  if (!std::ranges::count(training_commands(), command)) return {};
  AnyTraining training(command);
  const auto values = declared_options(*training).stored_values();
  return {values.begin(), values.end()};
}

/// Prints a stored configuration, which --config can read: what differs from the defaults first.
void print_configuration(const std::string& configuration) {
  const std::map<std::string, std::string> defaults = defaults_of(configuration);
  std::string as_by_default;
  std::istringstream lines(configuration);
  std::cout << "\n";
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find(" = ");
    const auto found = defaults.find(line.substr(0, equals));
    const std::string shown = printable(line) + "\n";
    if (equals != std::string::npos && found != defaults.end() &&
        found->second == line.substr(equals + 3)) {
      as_by_default += shown;
    } else {
      std::cout << shown;
    }
  }
  if (!as_by_default.empty()) std::cout << "\n# as by default\n" << as_by_default;
}

}  // namespace

void inspect_line(std::string_view what, const std::string& text) {
  std::cout << (text.empty() ? fmt::format("{}\n", printable(what))
                             : fmt::format("{:<14} {}\n", printable(what), printable(text)));
}

FoundCheckpoint verified_checkpoint(const fs::path& run_or_file) {
  FoundCheckpoint found = open_checkpoint(run_or_file);
  (void)require_model(found.checkpoint, found.file.path.string());
  return found;
}

void inspect_checkpoint(const fs::path& run_or_file) {
  const FoundCheckpoint found = verified_checkpoint(run_or_file);
  const Checkpoint& checkpoint = found.checkpoint;
  inspect_line("checkpoint", found.file.path.string());
  inspect_line("step", "{} (epoch {})", checkpoint.step, checkpoint.epoch);
  inspect_line("seed", "{}", checkpoint.seed);
  tensors_line("parameters", checkpoint.parameters);
  tensors_line("running", checkpoint.running);
  tensors_line("momentum", checkpoint.momentum);
  tensors_line("second moment", checkpoint.second_moment);
  if (const auto& scaling = checkpoint.loss_scaling) {
    inspect_line("loss scale", "{}, {} steps skipped", scaling->scale, scaling->skipped_steps);
  }
  inspect_line("checksum", "{} (verified)", checkpoint.checksum);
  print_model(checkpoint.model);
  if (!checkpoint.configuration.empty()) print_configuration(checkpoint.configuration);
}

bool is_safetensors(const fs::path& file) {
  constexpr std::uint64_t kLongestHeader = 100'000'000;
  if (file.extension() == ".safetensors") return true;
  std::array<char, sizeof(std::uint64_t) + 1> beginning{};
  std::ifstream in(file, std::ios::binary);
  if (!in.read(beginning.data(), beginning.size())) return false;
  std::uint64_t length = 0;  // of the header, a JSON object
  std::memcpy(&length, beginning.data(), sizeof(length));
  return length <= kLongestHeader && beginning.back() == '{';
}

void inspect_safetensors(const fs::path& file) {
  const SafeTensors content = read_safetensors(file);
  inspect_line("weights", file.string());
  tensors_line("tensors", content.tensors);
  inspect_line("metadata", "");
  for (const auto& [name, text] : content.metadata) {
    if (name != "model") print_field(name, text);
  }
  const auto model = content.metadata.find("model");
  if (model == content.metadata.end()) return;
  (void)parse_model_description(model->second, file.string());
  print_model(model->second);
}

void inspect_arrays(const std::string& what, const fs::path& file) {
  const ArraySummary summary = summarize_arrays(file);
  inspect_line(what, file.string());
  for (const auto& [name, text] : summary.attributes) print_field(name, text);
  inspect_line("arrays", "");
  for (const auto& [name, extents] : summary.arrays) {
    print_field(name, fmt::format("{}", fmt::join(extents, " x ")));
  }
}

}  // namespace simclr
