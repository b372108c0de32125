#include "simclr/data/label_selection.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "simclr/core/check.hpp"
#include "simclr/core/random.hpp"

namespace simclr {
namespace {

/// Random streams: one orders the samples, one the classes.
enum Stream : std::uint32_t { kSamples = 0, kClasses = 1 };

/// A random number that depends on seed, stream and index alone.
std::uint64_t random_key(std::uint64_t seed, Stream stream, std::int64_t index) {
  const auto bits = static_cast<std::uint64_t>(index);
  const PhiloxBlock block =
      philox4x32(seed, {static_cast<std::uint32_t>(bits >> 32),
                        static_cast<std::uint32_t>(RandomPurpose::kLabels),
                        static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(stream)});
  return std::uint64_t{block[0]} << 32 | block[1];
}

struct Class {
  std::int64_t label = 0;
  std::vector<std::int64_t> samples;

  [[nodiscard]] std::int64_t size() const { return std::ssize(samples); }
};

/// The classes that occur, in random order.
std::vector<Class> classes_of(std::span<const std::int64_t> labels, std::uint64_t seed) {
  std::map<std::int64_t, std::vector<std::int64_t>> by_label;
  for (std::size_t sample = 0; sample < labels.size(); ++sample) {
    if (labels[sample] >= 0) by_label[labels[sample]].push_back(static_cast<std::int64_t>(sample));
  }
  std::vector<Class> classes;
  classes.reserve(by_label.size());
  for (auto& [label, samples] : by_label) classes.push_back({label, std::move(samples)});
  std::ranges::sort(classes, {}, [&](const Class& c) {
    return std::pair(random_key(seed, kClasses, c.label), c.label);
  });
  return classes;
}

/// How many samples each class gives for this total, which all classes together have.
std::vector<std::int64_t> shares(const std::vector<Class>& classes, std::int64_t total) {
  const auto given_up_to = [&](std::int64_t level) {
    std::int64_t sum = 0;
    for (const Class& c : classes) sum += std::min(c.size(), level);
    return sum;
  };
  std::int64_t level = 0;
  std::int64_t above = total + 1;
  while (above - level > 1) {
    const std::int64_t middle = level + (above - level) / 2;
    (given_up_to(middle) <= total ? level : above) = middle;
  }
  std::int64_t rest = total - given_up_to(level);
  std::vector<std::int64_t> result;
  for (const Class& c : classes) {
    const bool one_more = rest > 0 && c.size() > level;
    result.push_back(std::min(c.size(), level) + (one_more ? 1 : 0));
    if (one_more) --rest;
  }
  return result;
}

/// The number of samples to draw. Refuses a quota that cannot be met.
std::int64_t total_of(const LabelQuota& quota, const std::vector<Class>& classes) {
  std::int64_t labeled = 0;
  for (const Class& c : classes) labeled += c.size();
  const std::int64_t count = std::ssize(classes);
  if (quota.per_class) {
    for (const Class& c : classes) {
      if (c.size() < *quota.per_class) {
        refuse("option --labels-per-class: {} is more than the {} labeled samples of class {}",
               *quota.per_class, c.size(), c.label);
      }
    }
    return *quota.per_class * count;
  }
  // A product that is whole, such as 0.29 * 200, may have been rounded to less.
  constexpr double kRounding = 1e-12;
  const double exact = *quota.fraction * static_cast<double>(labeled);
  const auto total = static_cast<std::int64_t>(std::floor(exact * (1 + kRounding)));
  if (total < count) {
    refuse(
        "option --label-fraction: {} of {} labeled samples leave some of the {} classes without "
        "any; give at least {}",
        *quota.fraction, labeled, count, static_cast<double>(count) / static_cast<double>(labeled));
  }
  return total;
}

/// The ascending indices of the first `share` samples of each class in random order.
std::vector<std::int64_t> draw_shares(std::vector<Class>& classes,
                                      const std::vector<std::int64_t>& share, std::uint64_t seed) {
  std::vector<std::int64_t> drawn;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    std::vector<std::int64_t>& samples = classes[i].samples;
    std::ranges::sort(samples, {}, [&](std::int64_t sample) {
      return std::pair(random_key(seed, kSamples, sample), sample);
    });
    drawn.insert(drawn.end(), samples.begin(), samples.begin() + share[i]);
  }
  std::ranges::sort(drawn);
  return drawn;
}

}  // namespace

std::vector<std::int64_t> draw_labeled(std::span<const std::int64_t> labels,
                                       const LabelQuota& quota, std::uint64_t seed) {
  require(quota.fraction.has_value() != quota.per_class.has_value(),
          "a quota is a fraction or a number of each class");
  std::vector<Class> classes = classes_of(labels, seed);
  const std::vector<std::int64_t> share = shares(classes, total_of(quota, classes));
  return draw_shares(classes, share, seed);
}

std::vector<std::int64_t> draw_validation(std::span<const std::int64_t> labels, double fraction,
                                          std::uint64_t seed, const char* option) {
  std::vector<Class> classes = classes_of(labels, seed);
  std::vector<std::int64_t> share;
  for (const Class& c : classes) {
    const auto part = std::llround(fraction * static_cast<double>(c.size()));
    share.push_back(
        std::clamp<std::int64_t>(part, std::min<std::int64_t>(1, c.size() - 1), c.size() - 1));
  }
  if (std::ranges::count(share, 0) == std::ssize(share)) {
    refuse(
        "option --{}: no class has two samples, of which one could be held out; name a "
        "directory of shards with validation data",
        option);
  }
  return draw_shares(classes, share, seed);
}

}  // namespace simclr
