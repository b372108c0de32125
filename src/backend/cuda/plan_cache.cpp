#include "plan_cache.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/system.hpp"

namespace simclr::cuda {

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
  std::vector<std::int64_t> numbers;
  for (const char* at = text.data(); at != text.data() + text.size();) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(at, text.data() + text.size(), number);
    if (error == std::errc{}) numbers.push_back(number);
    at = error == std::errc{} ? end : at + 1;
  }
  if (numbers.size() % 2 == 0) return std::nullopt;
  EngineChoice choice{.engine = numbers[0], .knobs = {}};
  for (std::size_t i = 1; i < numbers.size(); i += 2) {
    choice.knobs.emplace(static_cast<int>(numbers[i]), numbers[i + 1]);
  }
  // Refuses all that is written otherwise: other words, "engine 07", a knob twice.
  if (choice.text() != text) return std::nullopt;
  return choice;
}

namespace {

using nlohmann::json;

constexpr int kVersion = 1;

/// Choices by machine and shape.
using Machines = std::map<std::string, std::map<std::string, std::string>>;

/// What the file says; nothing where it is not one of ours.
std::optional<Machines> read(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) return Machines{};
  const json document = json::parse(stream, nullptr, false);
  try {
    if (document.at("version") == kVersion) return document.at("machines").get<Machines>();
  } catch (const json::exception&) {  // as where the version is another
  }
  return std::nullopt;
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
  constexpr mode_t kMode = 0666;  // less the user's umask
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
  // Unique among the processes of all nodes that see this directory.
  const std::string temporary = file.string() + ".tmp-" + to_hex(random_number());
  const Descriptor descriptor(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMode));
  if (!descriptor) fail_with("create a file beside");
  try {
    write_all(descriptor.get(), text);
    if (::rename(temporary.c_str(), file.c_str()) != 0) fail_with("rename a file to");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace

PlanCache::PlanCache(std::filesystem::path file, std::string machine)
    : file_(std::move(file)), machine_(std::move(machine)) {
  if (file_.empty()) return;
  std::optional<Machines> machines = read(file_);
  if (!machines) {
    log::warning("plan cache {} is not readable as such: convolutions are measured anew",
                 file_.string());
    return;
  }
  choices_ = std::move((*machines)[machine_]);
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
    Machines machines = read(file_).value_or(Machines{});
    machines[machine_][shape] = choice;
    constexpr int kIndent = 1;
    replace(file_, json{{"version", kVersion}, {"machines", machines}}.dump(kIndent) + "\n");
  } catch (const std::exception& error) {
    writable_ = false;
    log::warning("plan cache {} is not kept: {}", file_.string(), error.what());
  }
}

}  // namespace simclr::cuda
