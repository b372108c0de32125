#include "findings.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <vector>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/io/atomic_file.hpp"
#include "simclr/io/directory.hpp"
#include "text_list.hpp"

namespace simclr {

Damages gather_damages(Communicator& world, const Damages& own) {
  std::vector<std::string> texts;
  for (const auto& [sample, problem] : own) {
    texts.push_back(std::to_string(sample));
    texts.push_back(problem);
  }
  Damages all;
  for (const std::string& of_rank : gather_texts(world, join_texts(texts))) {
    const std::vector<std::string> pairs = split_texts(of_rank);
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) all[std::stoll(pairs[i])] = pairs[i + 1];
  }
  return all;
}

void write_damages(const std::filesystem::path& file, const ImageSource& source,
                   const Damages& damages) {
  std::string text;
  for (const auto& [sample, problem] : damages) {
    text += fmt::format("{}\t{}\n", source.describe(sample), problem);
  }
  write_file(file, text);
}

std::string describe_damages(const ImageSource& source, const Damages& damages) {
  constexpr std::size_t kShown = 20;
  std::vector<std::string> names;
  names.reserve(damages.size());
  for (const auto& [sample, problem] : damages) {
    names.push_back(names.size() < kShown ? fmt::format("{} ({})", source.describe(sample), problem)
                                          : std::string());
  }
  return fmt::format("{} of {} images cannot be read: {}", damages.size(), source.samples(),
                     first_names(names, kShown));
}

void Tally::count(std::int64_t sample, const DecodingNotes& notes, bool enlarged) {
  if (enlarged) ++enlarged_;
  if (notes.deep_range) {
    ++deep_;
    deep_range_ = {std::min(deep_range_.low, notes.deep_range->low),
                   std::max(deep_range_.high, notes.deep_range->high)};
  }
  if (notes.warning.empty()) return;
  ++with_warning_;
  if (sample > first_with_warning_) return;
  first_with_warning_ = sample;
  first_warning_ = notes.warning;
}

void Tally::report(Communicator& world, const ImageSource& source, std::int64_t samples,
                   std::int64_t short_side) const {
  std::array<double, 3> sums = {static_cast<double>(enlarged_), static_cast<double>(deep_),
                                static_cast<double>(with_warning_)};  // exact up to 2^53
  std::array<std::int32_t, 1> low = {deep_range_.low};
  std::array<std::int32_t, 1> high = {deep_range_.high};
  world.all_reduce(buffer_span(std::span<double>(sums)), Reduction::sum);
  world.all_reduce(buffer_span(std::span<std::int32_t>(low)), Reduction::min);
  world.all_reduce(buffer_span(std::span<std::int32_t>(high)), Reduction::max);
  Damages first;  // what each rank has met first
  if (with_warning_ > 0) first[first_with_warning_] = first_warning_;
  first = gather_damages(world, first);
  if (world.rank() != 0) return;

  const auto enlarged = static_cast<std::int64_t>(sums[0]);
  const auto deep = static_cast<std::int64_t>(sums[1]);
  const auto with_warning = static_cast<std::int64_t>(sums[2]);
  if (enlarged > 0) {
    log::warning("{} of {} images are smaller than --resize-short {} and were enlarged", enlarged,
                 samples, short_side);
  }
  if (deep > 0) {
    const auto bits = std::bit_width(static_cast<unsigned>(high[0]));
    constexpr int kDeepBits = 16;
    log::warning(
        "{} of {} images have 16-bit samples, of which the upper 8 bits are kept; their values go "
        "from {} to {}{}",
        deep, samples, low[0], high[0],
        bits < kDeepBits ? fmt::format(": as these are values of {} bits, the images are dark and "
                                       "have few gray levels; scale them to 0..65535 before",
                                       bits)
                         : "");
  }
  if (with_warning > 0) {
    const auto& [sample, warning] = *first.begin();
    log::warning(
        "{} of {} images were decoded with a warning, first {}: {}; look at it, since bytes that "
        "are "
        "too many may be harmless or come from damage that made its pixels wrong",
        with_warning, samples, source.describe(sample), warning);
  }
}

}  // namespace simclr
