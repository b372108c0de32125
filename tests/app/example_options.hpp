#pragma once
// Options of every kind, for the tests of options.

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/options.hpp"

namespace simclr::test {

enum class Color : std::uint8_t { red, green };

enum class Rehearsal : std::uint8_t { here, elsewhere };

struct Example {
  std::int64_t count = 4;
  double rate = 0.1;
  std::string name = "plain";
  bool loud = false;
  Color color = Color::red;
  std::optional<std::int64_t> limit;
  std::vector<std::int64_t> steps{1};
  std::vector<double> scale;
  std::vector<std::string> parts{"one"};
  std::uint64_t seed = 1;
  int small = 2;
  std::string place = "anywhere";
  std::filesystem::path file;
  std::optional<Rehearsal> rehearse;
};

inline Options declare(Example& e) {
  Options options("bench", "an example", {"pretrain", "bench"});
  options.add("count", e.count, "")
      .add("rate", e.rate, "")
      .add("name", e.name, "")
      .flag("loud", e.loud, "")
      .choice<Color>("color", e.color, {{"red", Color::red}, {"green", Color::green}}, "")
      .add("limit", e.limit, "")
      .range(at_least(2))
      .add("steps", e.steps, "")
      .range(at_least(0))
      .may_change_on_resume()
      .add("scale", e.scale, "")
      .range(above(0).below(1).items(3))
      .add("parts", e.parts, "")
      .known({"one", "two", "three"})
      .add("seed", e.seed, "")
      .add("small", e.small, "")
      .range(at_least(2).at_most(8).multiples_of(2))
      .add("place", e.place, "")
      .rule("a text without spaces",
            [](const std::string& text) { return text.find(' ') == std::string::npos; })
      .positional("file", e.file, "")
      .action<Rehearsal>("rehearse", e.rehearse,
                         {{"here", Rehearsal::here}, {"elsewhere", Rehearsal::elsewhere}}, "");
  return options;
}

inline std::string refusal(const std::vector<std::string>& arguments) {
  Example e;
  try {
    (void)declare(e).parse(arguments);
  } catch (const RefusedError& error) {
    return error.what();
  }
  return "accepted";
}

inline void expect_in(const std::string& part, const std::string& whole) {
  EXPECT_NE(whole.find(part), std::string::npos) << whole;
}

}  // namespace simclr::test
