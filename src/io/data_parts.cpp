#include "simclr/io/data_parts.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <string_view>

namespace simclr {
namespace {

enum class Part : std::uint8_t { train, validation, test, unlabeled };

struct PartWord {
  std::string_view word;
  Part part;
  bool is_certain = true;  ///< seldom means anything else
};

constexpr std::array kPartWords = {
    PartWord{"train", Part::train},
    PartWord{"training", Part::train},
    PartWord{"trainset", Part::train},
    PartWord{"trainval", Part::train},
    PartWord{"trn", Part::train, false},
    PartWord{"tr", Part::train, false},
    PartWord{"val", Part::validation},
    PartWord{"valid", Part::validation},
    PartWord{"validate", Part::validation},
    PartWord{"validation", Part::validation},
    PartWord{"dev", Part::validation, false},
    PartWord{"devel", Part::validation, false},
    PartWord{"devset", Part::validation, false},
    PartWord{"test", Part::test},
    PartWord{"testing", Part::test},
    PartWord{"testset", Part::test},
    PartWord{"eval", Part::test},
    PartWord{"evaluation", Part::test},
    PartWord{"holdout", Part::test},
    PartWord{"tst", Part::test, false},
    PartWord{"ts", Part::test, false},
    PartWord{"te", Part::test, false},
    PartWord{"unlabeled", Part::unlabeled, false},
    PartWord{"unlabelled", Part::unlabeled, false},
    PartWord{"unlab", Part::unlabeled, false},
};

/// Words that tell nothing of the content: training_images and test are two parts of one set.
constexpr std::array<std::string_view, 14> kNeutralWords = {
    "data", "dataset", "files",    "folder",  "image", "images", "img",
    "imgs", "photos",  "pictures", "samples", "set",   "split",  "x"};

std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words(1);
  bool after_lower = false;
  for (const unsigned char c : name) {
    if (std::isalpha(c) == 0 || (after_lower && std::isupper(c) != 0)) words.emplace_back();
    if (std::isalpha(c) != 0) words.back() += static_cast<char>(std::tolower(c));
    after_lower = std::islower(c) != 0;
  }
  std::erase(words, "");
  return words;
}

struct PartName {
  std::string name;
  std::vector<Part> parts;  ///< in order, each once
  bool is_certain = false;
  std::string other_words;
};

PartName read_name(const std::string& name) {
  PartName result{.name = name};
  for (const std::string& word : words_of(name)) {
    const auto known = std::ranges::find(kPartWords, word, &PartWord::word);
    if (known != kPartWords.end()) {
      result.parts.push_back(known->part);
      result.is_certain = result.is_certain || known->is_certain;
    } else if (std::ranges::find(kNeutralWords, word) == kNeutralWords.end()) {
      result.other_words += word + ' ';
    }
  }
  std::ranges::sort(result.parts);
  result.parts.erase(std::ranges::unique(result.parts).begin(), result.parts.end());
  return result;
}

}  // namespace

std::optional<std::pair<std::string, std::string>> different_parts(
    const std::vector<std::string>& names, OtherWords other_words) {
  std::vector<PartName> named;
  for (const std::string& name : names) {
    if (PartName read = read_name(name); !read.parts.empty()) named.push_back(std::move(read));
  }
  const bool others_are_few = names.size() - named.size() < named.size();
  if (!others_are_few) std::erase_if(named, [](const PartName& n) { return !n.is_certain; });
  std::map<std::string, const PartName*> first_of;  // by what names of one data set share
  for (const PartName& name : named) {
    const std::string shared = other_words == OtherWords::alike ? name.other_words : "";
    const auto [first, is_first] = first_of.emplace(shared, &name);
    if (!is_first && first->second->parts != name.parts) {
      return std::pair(first->second->name, name.name);
    }
  }
  return std::nullopt;
}

}  // namespace simclr
