#include "result_file.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>
#include <system_error>

#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/io/file.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

/// The longest part of a file's name that a data set's name or an option's value becomes.
constexpr std::size_t kLongestPart = 40;

/// The longest name without its number and extension; file systems take 255 bytes.
constexpr std::size_t kLongestName = 200;

bool is_there(const fs::path& file) {
  std::error_code unknown;
  return fs::exists(file, unknown);
}

/// The result in a file; a discarded value if it is none, or may not be read.
Json read_result(const fs::path& file) {
  try {
    return Json::parse(read_text_file(file), nullptr, false);
  } catch (const Error&) {
    return Json::parse("", nullptr, false);
  }
}

Json options_of(const Json& result) {
  const Json options = result.value("options", Json::object());
  return options.is_object() ? options : Json::object();
}

bool same(const Json& result, const EvaluationIdentity& identity, const std::string& key) {
  return result.value(key, Json()) == identity.at(key);
}

/// Whether both are of the same data, `data` being one of kDataSets. Results of earlier
/// versions have no hash of the data; the data set's name stands for it.
bool same_data(const Json& result, const EvaluationIdentity& identity, const std::string& data) {
  const std::string hash = data + "_hash";
  return same(result, identity, result.contains(hash) ? hash : data);
}

constexpr std::array kDataSets{"train_data", "test_data", "data"};

/// Calls use(name, value) for each option that had another value in `result`.
template <class Use>
void for_other_options(const Json& result, const EvaluationIdentity& identity, const Use& use) {
  const Json options = options_of(result);
  for (const auto& [name, value] : identity.at("options").items()) {
    if (options.value(name, identity.at("defaults").at(name)) != value) use(name, value);
  }
}

bool is_own(const Json& result, const EvaluationIdentity& identity) {
  if (!result.is_object()) return false;
  bool own = same(result, identity, "protocol") && same(result, identity, "checkpoint_hash");
  for (const char* data : kDataSets) {
    own = own && (!identity.contains(data) || same_data(result, identity, data));
  }
  for_other_options(result, identity, [&](const auto&, const auto&) { own = false; });
  return own;
}

std::string name_part(const std::string& text) {
  std::string part = text.substr(0, kLongestPart);
  std::ranges::replace_if(
      part,
      [](unsigned char c) { return std::isalnum(c) == 0 && c != '.' && c != '-' && c != '_'; },
      '_');
  return part;
}

/// "-cars-neighbors-20": what tells this evaluation from that of `result`.
std::string what_differs(const Json& result, const EvaluationIdentity& identity) {
  std::string text;
  for (const char* key : kDataSets) {
    if (!identity.contains(key)) continue;
    if (same_data(result, identity, key) || same(result, identity, key)) continue;
    const std::string part = fmt::format("-{}", name_part(identity.at(key).get<std::string>()));
    if (!text.ends_with(part)) text += part;
  }
  for_other_options(result, identity, [&](const std::string& name, const Json& value) {
    text += fmt::format("-{}-{}", name_part(name), name_part(value.get<std::string>()));
  });
  return text;
}

}  // namespace

nlohmann::ordered_json options_json(const NamedValues& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) object[name] = value;
  return object;
}

fs::path result_directory(const fs::path& checkpoint) {
  const fs::path directory = fs::absolute(checkpoint).parent_path();
  if (directory.filename() != "checkpoints") {
    refuse("{}: is not in a run directory; name the result's file with --output",
           checkpoint.string());
  }
  return directory.parent_path() / "eval";
}

fs::path free_result_file(const fs::path& directory, const std::string& name,
                          const EvaluationIdentity& identity) {
  const auto file_of = [&](const std::string& stem) { return directory / (stem + ".json"); };
  const auto is_free = [&](const fs::path& file) {
    return !is_there(file) || is_own(read_result(file), identity);
  };
  if (is_free(file_of(name))) return file_of(name);
  const Json other = read_result(file_of(name));
  std::string longer = name + (other.is_object() ? what_differs(other, identity) : "");
  longer.resize(std::min(longer.size(), std::max(name.size(), kLongestName)));
  if (is_free(file_of(longer))) return file_of(longer);
  for (int number = 2;; ++number) {
    fs::path file = file_of(fmt::format("{}-{}", longer, number));
    if (is_free(file)) return file;
  }
}

void add_measured(const std::string& measured, Json& values, Json& lists) {
  const Json object = Json::parse(measured);
  for (const auto& [name, value] : object.items()) {
    (value.is_array() ? lists : values)[name] = value;
  }
}

std::string result_text(const Json& values, const Json& lists) {
  std::string text = json_text(values, 2);
  text.resize(text.size() - std::string("\n}").size());
  for (const auto& [name, list] : lists.items()) {
    const bool of_lists = !list.empty() && list.front().is_array();
    std::string lines;
    for (const Json& row : list) {
      lines += fmt::format("{}\n    {}", lines.empty() ? "" : ",", json_text(row));
    }
    text +=
        fmt::format(",\n  \"{}\": {}", name, of_lists ? "[" + lines + "\n  ]" : json_text(list));
  }
  return text + "\n}\n";
}

void require_own_result(const fs::path& file, const std::string& option,
                        const EvaluationIdentity& identity) {
  std::error_code unknown;
  const bool is_file = fs::is_regular_file(file, unknown);
  if (!is_there(file) || (is_file && fs::file_size(file, unknown) == 0)) return;
  if (is_file && is_own(read_result(file), identity)) return;
  refuse(
      "option --{}: {} exists and is not the result of this evaluation (other data, checkpoint or "
      "options); name another file, or delete it",
      option, file.string());
}

}  // namespace simclr
