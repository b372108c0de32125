#include "simclr/data/label_list.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "pack/image_source.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/foreign_text.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/io/file.hpp"

namespace simclr {
namespace {

namespace fs = std::filesystem;

struct Entry {
  std::int64_t line = 0;  ///< counted from 1
  std::string_view text;
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\v\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) + 1 - first);
}

std::vector<Entry> entries_of(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<Entry> entries;
  for (std::int64_t line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view entry = trimmed(text.substr(0, end));
    if (!entry.empty()) entries.push_back({line, entry});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return entries;
}

bool is_index(std::string_view entry) {
  if (entry.starts_with('-')) entry.remove_prefix(1);
  return !entry.empty() && entry.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // the whole path if it has no '/'
}

/// Finds the samples of one list; every refusal names its file and line.
class ListReader {
 public:
  ListReader(const fs::path& file, const ShardSet& set) : file_(file), set_(set) {
    require_file(file);
    text_ = read_text_file(file);
    entries_ = entries_of(text_);
  }

  std::vector<std::int64_t> read() {
    if (entries_.empty()) {
      refuse("{}: names no sample; give one a line, by name or by index", file_.string());
    }
    require_one_kind();
    std::vector<std::int64_t> samples =
        is_index(entries_.front().text) ? listed_indices() : named_samples();
    require_labels(samples);
    std::ranges::sort(samples);
    return samples;
  }

 private:
  template <class... Args>
  [[noreturn]] void reject(const Entry& entry, fmt::format_string<Args...> format,
                           Args&&... args) const {
    refuse("{}: line {}: '{}' {}", file_.string(), entry.line, excerpt(entry.text),
           fmt::format(format, std::forward<Args>(args)...));
  }

  [[nodiscard]] std::string data() const { return set_.info().path.string(); }

  void require_one_kind() const {
    const Entry& first = entries_.front();
    for (const Entry& entry : entries_) {
      if (is_index(entry.text) == is_index(first.text)) continue;
      reject(entry, "is {}, unlike '{}' in line {}; list names or indices, not both",
             is_index(entry.text) ? "an index" : "a name", excerpt(first.text), first.line);
    }
  }

  [[noreturn]] void reject_second(const Entry& entry, std::int64_t first_line) const {
    reject(entry, "is the same sample as in line {}; remove one of the two", first_line);
  }

  [[nodiscard]] std::vector<std::int64_t> listed_indices() const {
    std::vector<std::int64_t> samples;
    std::unordered_map<std::int64_t, std::int64_t> first_lines;
    for (const Entry& entry : entries_) {
      std::int64_t sample = -1;
      const char* end = entry.text.data() + entry.text.size();
      const bool read = std::from_chars(entry.text.data(), end, sample).ec == std::errc();
      if (!read || sample < 0 || sample >= set_.info().samples) {
        reject(entry, "is no sample of {}, which has 0 to {}", data(), set_.info().samples - 1);
      }
      const auto [first, is_new] = first_lines.emplace(sample, entry.line);
      if (!is_new) reject_second(entry, first->second);
      samples.push_back(sample);
    }
    return samples;
  }

  /// Where a base name is listed, and the samples that have it: all but the first two do not count.
  struct Listed {
    std::int64_t line = 0;
    std::int64_t sample = -1;
    std::int64_t other_sample = -1;
  };

  [[nodiscard]] std::vector<std::int64_t> named_samples() const {
    if (!set_.info().named) {
      reject(entries_.front(),
             "is a name, but {} has no names of its samples; list their indices, or pack the "
             "images again",
             data());
    }
    std::unordered_map<std::string_view, Listed> listed;
    for (const Entry& entry : entries_) {
      const auto [first, is_new] =
          listed.emplace(base_name(entry.text), Listed{.line = entry.line});
      if (!is_new) reject_second(entry, first->second.line);
    }
    const SampleNames& names = set_.names();
    for (std::int64_t sample = 0; sample < names.size(); ++sample) {
      const auto found = listed.find(base_name(names[sample]));
      if (found == listed.end()) continue;
      (found->second.sample < 0 ? found->second.sample : found->second.other_sample) = sample;
    }
    std::vector<std::int64_t> samples;
    for (const Entry& entry : entries_) {
      const Listed& found = listed.at(base_name(entry.text));
      if (found.sample < 0) reject(entry, "is the name of no sample of {}", data());
      if (found.other_sample >= 0) {
        reject(entry,
               "is the name of several samples of {}, such as {} ({}) and {} ({}); list indices",
               data(), found.sample, printable(names[found.sample]), found.other_sample,
               printable(names[found.other_sample]));
      }
      samples.push_back(found.sample);
    }
    return samples;
  }

  /// `samples`: those of the entries, in their order.
  void require_labels(const std::vector<std::int64_t>& samples) const {
    if (!set_.info().labeled) refuse("{}: has no labels; give data with labels", data());
    for (std::size_t i = 0; i < samples.size(); ++i) {
      if (set_.labels()[static_cast<std::size_t>(samples[i])] >= 0) continue;
      reject(entries_[i], "is sample {} of {}, which has no label; remove it from the list",
             samples[i], data());
    }
  }

  const fs::path& file_;
  const ShardSet& set_;
  std::string text_;
  std::vector<Entry> entries_;
};

}  // namespace

std::vector<std::int64_t> read_label_list(const fs::path& file, const ShardSet& set) {
  return ListReader(file, set).read();
}

std::string selection_hash(std::span<const std::int64_t> samples) {
  return to_hex(hash64(std::as_bytes(samples)));
}

}  // namespace simclr
