#include "plan_cache.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"

namespace simclr::cuda {

namespace {

bool skip(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

template <class Integer>
bool read_number(std::string_view& text, Integer& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

std::string EngineChoice::text() const {
  std::string text = fmt::format("engine {}", engine);
  std::string_view separator = ": ";
  for (const auto& [knob, value] : knobs) {
    text += fmt::format("{}knob {}={}", separator, knob, value);
    separator = ", ";
  }
  return text;
}

std::optional<EngineChoice> EngineChoice::parse(std::string_view text) {
  EngineChoice choice;
  std::string_view rest = text;
  if (!skip(rest, "engine ") || !read_number(rest, choice.engine)) return std::nullopt;
  std::string_view separator = ": ";
  while (!rest.empty()) {
    int knob = 0;
    std::int64_t value = 0;
    if (!skip(rest, separator) || !skip(rest, "knob ") || !read_number(rest, knob) ||
        !skip(rest, "=") || !read_number(rest, value)) {
      return std::nullopt;
    }
    choice.knobs.emplace(knob, value);
    separator = ", ";
  }
  // Also refuses what reads well but is written otherwise: "engine 07", a knob twice.
  if (choice.text() != text) return std::nullopt;
  return choice;
}

namespace {

using nlohmann::json;

constexpr int kVersion = 1;

json empty_document() { return {{"version", kVersion}, {"machines", json::object()}}; }

bool is_whole(const json& document) {
  if (!document.is_object() || document.value("version", json()) != kVersion) return false;
  const json machines = document.value("machines", json());
  if (!machines.is_object()) return false;
  for (const json& choices : machines) {
    if (!choices.is_object()) return false;
    for (const json& choice : choices) {
      if (!choice.is_string()) return false;
    }
  }
  return true;
}

/// What the file says; nothing where it is not one of ours.
std::optional<json> read(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) return empty_document();
  json document = json::parse(stream, nullptr, false);
  if (!is_whole(document)) return std::nullopt;
  return document;
}

[[noreturn]] void fail_with(std::string_view action) {
  fail("cannot {} it: {}", action, std::error_code(errno, std::generic_category()).message());
}

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_with("write");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// The file is replaced in one move. It is not synchronized with the disk: a cache that is lost
/// with the power is measured again.
void replace(const std::filesystem::path& file, std::string_view text) {
  constexpr mode_t kReadableByAll = 0644;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
  // Unique among the processes of all nodes that see this directory.
  std::string temporary = file.string() + ".XXXXXX";
  const int descriptor = ::mkstemp(temporary.data());
  if (descriptor < 0) fail_with("create a file beside");
  try {
    write_all(descriptor, text);
    if (::fchmod(descriptor, kReadableByAll) != 0) fail_with("set the mode of");
    if (::rename(temporary.c_str(), file.c_str()) != 0) fail_with("rename a file to");
  } catch (...) {
    ::close(descriptor);
    ::unlink(temporary.c_str());
    throw;
  }
  ::close(descriptor);
}

}  // namespace

PlanCache::PlanCache(std::filesystem::path file, std::string machine)
    : file_(std::move(file)), machine_(std::move(machine)) {
  if (file_.empty()) return;
  const std::optional<json> document = read(file_);
  if (!document) {
    log::warning("plan cache {} is not readable as such: convolutions are measured anew",
                 file_.string());
    return;
  }
  const json& machines = document->at("machines");
  if (const auto ours = machines.find(machine_); ours != machines.end()) {
    choices_ = ours->get<std::map<std::string, std::string>>();
  }
}

std::optional<std::string> PlanCache::find(const std::string& shape) const {
  const auto found = choices_.find(shape);
  if (found == choices_.end()) return std::nullopt;
  return found->second;
}

void PlanCache::store(const std::string& shape, const std::string& choice) {
  choices_[shape] = choice;
  if (file_.empty() || !writable_) return;
  try {
    json document = read(file_).value_or(empty_document());
    document["machines"][machine_][shape] = choice;
    constexpr int kIndent = 1;
    replace(file_, document.dump(kIndent) + "\n");
  } catch (const std::exception& error) {
    writable_ = false;
    log::warning("plan cache {} is not kept: {}", file_.string(), error.what());
  }
}

}  // namespace simclr::cuda
