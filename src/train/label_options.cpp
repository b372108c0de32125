#include "simclr/train/label_options.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <ranges>
#include <set>
#include <span>

#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/core/log.hpp"
#include "simclr/data/label_list.hpp"
#include "simclr/data/label_selection.hpp"
#include "simclr/io/directory.hpp"

namespace simclr {
namespace {

/// The indices chosen, on one rank.
std::vector<std::int64_t> choose(const LabelOptions& options, const ShardSet& data) {
  const std::vector<std::int64_t>& labels = data.labels();
  if (!options.labels_file.empty()) return read_label_list(options.labels_file, data);
  if (options.label_fraction || options.labels_per_class) {
    return draw_labeled(labels,
                        {.fraction = options.label_fraction, .per_class = options.labels_per_class},
                        options.label_seed);
  }
  std::vector<std::int64_t> all;
  for (std::size_t sample = 0; sample < labels.size(); ++sample) {
    if (labels[sample] >= 0) all.push_back(static_cast<std::int64_t>(sample));
  }
  return all;
}

/// Warns of classes that the data know by name or by their labels, but of which no sample is
/// chosen. Returns their number.
std::size_t warn_of_missing_classes(const std::string& source, const ShardSet& data,
                                    const std::map<std::int64_t, std::int64_t>& of_class) {
  constexpr std::size_t kShown = 10;
  const std::vector<std::string>& class_names = data.info().class_names;
  std::set<std::int64_t> missing(data.labels().begin(), data.labels().end());
  for (std::int64_t label = 0; label < std::ssize(class_names); ++label) missing.insert(label);
  std::erase_if(missing, [&](std::int64_t label) { return label < 0 || of_class.contains(label); });
  if (missing.empty()) return 0;
  std::vector<std::string> names;
  for (const std::int64_t label : missing) {
    const bool has_name = label < std::ssize(class_names);
    names.push_back(has_name ? class_names[static_cast<std::size_t>(label)]
                             : std::to_string(label));
  }
  log::warning("{}: has no labeled sample of {} class{} ({}), so that no classifier learns {}",
               source, names.size(), names.size() == 1 ? "" : "es", first_names(names, kShown),
               names.size() == 1 ? "it" : "them");
  return missing.size();
}

}  // namespace

std::vector<std::string> LabelOptions::choices() const {
  std::vector<std::string> given;
  if (!labels_file.empty()) given.emplace_back("labels-file");
  if (label_fraction) given.emplace_back("label-fraction");
  if (labels_per_class) given.emplace_back("labels-per-class");
  return given;
}

void LabelOptions::validate_labels() const {
  const std::vector<std::string> given = choices();
  if (given.size() < 2) return;
  refuse(
      "options --{} and --{}: both choose the samples to train on; give one of them, and none to "
      "go on with a run, which keeps its samples",
      given[0], given[1]);
}

void declare_label_options(Options& options, LabelOptions& labels) {
  options
      .add("labels-file", labels.labels_file,
           "text file that lists the samples to train on, one in a line: names of images, as in "
           "the lists of 1 % and 10 % of ImageNet, or indices of samples")
      .argument("FILE")
      .may_change_on_resume()
      .add("label-fraction", labels.label_fraction,
           "train on this part of the labeled samples, drawn with equally many of each class")
      .range(above(0).at_most(1))
      .add("labels-per-class", labels.labels_per_class,
           "train on this many samples of each class, drawn at random")
      .range(at_least(1))
      .add("label-seed", labels.label_seed,
           "seed of the draw; with one seed, a smaller draw is a part of a larger one")
      .add("labels-hash", labels.labels_hash,
           "hash of the samples trained on, which the program stores with the run; when given, "
           "other samples are refused")
      .argument("HASH");
}

LabeledSamples choose_labeled(const LabelOptions& options, const ShardSet& data,
                              Communicator& world) {
  if (data.info().mark_columns > 0) {
    refuse("option --data: {} has several labels for each sample; a classifier learns from one",
           data.info().path.string());
  }
  if (data.info().labeled_samples == 0) {
    refuse("option --data: {} has no labels; training a classifier needs labeled images",
           data.info().path.string());
  }
  LabeledSamples chosen;
  on_root(world, [&] { chosen.samples = choose(options, data); });
  chosen.samples = broadcast_list(world, std::move(chosen.samples));
  chosen.labeled = data.info().labeled_samples;
  std::map<std::int64_t, std::int64_t> of_class;
  for (const std::int64_t sample : chosen.samples) {
    chosen.labels.push_back(data.labels()[static_cast<std::size_t>(sample)]);
    ++of_class[chosen.labels.back()];
  }
  const auto [fewest, most] = std::ranges::minmax(of_class | std::views::values);
  const auto& source = options.labels_file.empty() ? data.info().path : options.labels_file;
  const auto missing = warn_of_missing_classes(source.string(), data, of_class);
  chosen.fewest_of_class = missing > 0 ? 0 : fewest;
  chosen.most_of_class = most;
  chosen.hash = selection_hash(chosen.samples);
  const std::vector<std::string> given = options.choices();
  if (!options.labels_hash.empty() && options.labels_hash != chosen.hash) {
    refuse(
        "option --{}: chooses other samples (hash {}) than those that the run trains on (hash {}); "
        "a run cannot change them: give the old choice or another --run-dir",
        given.empty() ? "data" : given.front(), chosen.hash, options.labels_hash);
  }
  return chosen;
}

}  // namespace simclr
