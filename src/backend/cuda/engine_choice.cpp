#include "engine_choice.hpp"

#include <fmt/format.h>

#include <charconv>

namespace simclr::cuda {

namespace {

bool skip(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

template <class Integer>
bool read(std::string_view& text, Integer& value) {
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
  if (!skip(rest, "engine ") || !read(rest, choice.engine)) return std::nullopt;
  std::string_view separator = ": ";
  while (!rest.empty()) {
    int knob = 0;
    std::int64_t value = 0;
    if (!skip(rest, separator) || !skip(rest, "knob ") || !read(rest, knob) || !skip(rest, "=") ||
        !read(rest, value)) {
      return std::nullopt;
    }
    choice.knobs.emplace(knob, value);
    separator = ", ";
  }
  // Also refuses what reads well but is written otherwise: "engine 07", a knob twice.
  if (choice.text() != text) return std::nullopt;
  return choice;
}

}  // namespace simclr::cuda
