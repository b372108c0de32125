#include "simclr/data/labeled_data.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

/// Whether one list is the beginning of the other.
bool agree_in_order(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const auto count = static_cast<std::ptrdiff_t>(std::min(a.size(), b.size()));
  return std::equal(a.begin(), a.begin() + count, b.begin());
}

/// For each class of the test data its number in the training data.
std::vector<std::int64_t> numbers_by_name(const ShardSetInfo& train, const LabeledData& test,
                                          const char* option) {
  std::map<std::string, std::vector<std::int64_t>> of_name;
  for (const std::string& name : train.class_names) {
    of_name[name].push_back(&name - train.class_names.data());
  }
  std::vector<std::int64_t> numbers;
  std::map<std::string, std::size_t> label_of;
  for (const std::string& name : test.info.class_names) {
    const auto [earlier, is_new] = label_of.emplace(name, numbers.size());
    if (!is_new) {
      refuse("option --{}: labels {} and {} of {} have the same name '{}'", option, earlier->second,
             numbers.size(), test.path.string(), name);
    }
    const auto found = of_name.find(name);
    if (found == of_name.end()) {
      refuse("option --{}: {} has a class '{}', which the training data lack", option,
             test.path.string(), name);
    }
    if (found->second.size() > 1) {
      refuse(
          "option --{4}: class '{1}' of {0} is not unique: labels {2} and {3} of the training data "
          "have this name",
          test.path.string(), name, found->second[0], found->second[1], option);
    }
    numbers.push_back(found->second.front());
  }
  return numbers;
}

void take_marked(LabeledData& data, const char* option, bool accepts_marks) {
  if (!accepts_marks) {
    refuse(
        "option --{}: {} is multi-label: its 'labels' mark {} classes for each sample; only "
        "linear-eval --protocol transfer --metric ap11 learns from them",
        option, data.path.string(), data.info.mark_columns);
  }
  if (std::ranges::count(data.set.marks(), kPresent) == 0) {
    refuse("option --{}: {} has no sample of any class", option, data.path.string());
  }
  data.samples.resize(static_cast<std::size_t>(data.info.samples));
  std::iota(data.samples.begin(), data.samples.end(), 0);
}

void match_marks(const ShardSetInfo& train, const LabeledData& test, const char* option) {
  const ShardSetInfo& info = test.info;
  if ((train.mark_columns > 0) != (info.mark_columns > 0)) {
    refuse("option --{}: {} {} multi-label, unlike the training data", option, test.path.string(),
           info.mark_columns > 0 ? "is" : "is not");
  }
  if (train.mark_columns != info.mark_columns) {
    refuse("option --{}: the labels of {} mark {} classes, those of the training data {}", option,
           test.path.string(), info.mark_columns, train.mark_columns);
  }
  if (!train.class_names.empty() && !info.class_names.empty() &&
      train.class_names != info.class_names) {
    refuse(
        "option --{}: {} names its classes otherwise than the training data, or in another order",
        option, test.path.string());
  }
}

}  // namespace

void require_class_count(const ShardSetInfo& data, const char* option) {
  if (data.classes <= kMostClasses) return;
  refuse("option --{}: {} holds label {}; allowed: below {}", option, data.path.string(),
         data.classes - 1, kMostClasses);
}

LabeledData open_labeled(const fs::path& directory, const char* option, Communicator& world,
                         bool accepts_marks) {
  auto [set, fingerprint] = open_common(directory, option, world);
  LabeledData data{.set = std::move(set), .fingerprint = std::move(fingerprint)};
  if (data.info.mark_columns > 0) {
    take_marked(data, option, accepts_marks);
    return data;
  }
  if (data.info.labeled_samples == 0) {
    refuse("option --{}: {} has no labels; evaluation needs labeled data", option,
           directory.string());
  }
  require_class_count(data.info, option);
  const std::vector<std::int64_t>& labels = data.set.labels();
  for (std::size_t sample = 0; sample < labels.size(); ++sample) {
    if (labels[sample] < 0) continue;
    data.samples.push_back(static_cast<std::int64_t>(sample));
    data.labels.push_back(labels[sample]);
  }
  if (data.unlabeled() > 0) {
    data.as_stored = false;
    log::info("{}: {} of {} samples have a label; the others are left out", directory.string(),
              data.labeled(), data.info.samples);
  }
  return data;
}

void match_classes(const ShardSetInfo& train, LabeledData& test, const char* option) {
  if (train.mark_columns > 0 || test.info.mark_columns > 0) {
    match_marks(train, test, option);
    return;
  }
  const bool by_name = !train.class_names.empty() && !test.info.class_names.empty() &&
                       !agree_in_order(train.class_names, test.info.class_names);
  if (!by_name) {
    if (test.info.classes <= train.classes) return;
    refuse("option --{}: {} has {} classes, the training data has {}", option, test.path.string(),
           test.info.classes, train.classes);
  }
  const std::vector<std::int64_t> numbers = numbers_by_name(train, test, option);
  for (std::int64_t& label : test.labels) {
    if (label >= std::ssize(numbers)) {
      refuse(
          "option --{3}: label {1} of {0} has no name among its {2} class names, by which its "
          "classes are matched with those of the training data",
          test.path.string(), label, numbers.size(), option);
    }
    label = numbers[static_cast<std::size_t>(label)];
  }
  test.as_stored = false;
  log::info("{}: its {} classes are matched by name with the {} of the training data",
            test.path.string(), numbers.size(), train.classes);
}

std::unique_ptr<SampleStore> only_labeled(std::unique_ptr<SampleStore> store,
                                          const LabeledData& data) {
  if (data.as_stored) return store;
  return make_subset_store(std::move(store), {data.samples, data.labels});
}

}  // namespace simclr
