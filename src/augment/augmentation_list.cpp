#include "simclr/augment/augmentation_list.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "simclr/core/foreign_text.hpp"
#include "simclr/core/names.hpp"
#include "simclr/core/option_values.hpp"

namespace simclr {
namespace {

struct OpEntry {
  const char* name;
  float probability;
};
/// In the order of AugmentOp.
constexpr std::array<OpEntry, kAugmentOps> kOps{{{"crop", 1},
                                                 {"flip", 0.5F},
                                                 {"color", 0.8F},
                                                 {"gray", 0.2F},
                                                 {"blur", 0.5F},
                                                 {"cutout", 1},
                                                 {"rotate", 1},
                                                 {"noise", 1},
                                                 {"sobel", 1},
                                                 {"solarize", 0.2F},
                                                 {"equalize", 0.2F}}};

const OpEntry& entry(AugmentOp op) { return kOps.at(static_cast<std::size_t>(op)); }

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  names.reserve(kOps.size());
  for (const OpEntry& op : kOps) names.emplace_back(op.name);
  return names;
}

std::vector<std::string> parameter_names() {
  std::vector<std::string> names;
  for (const OpParameter& parameter : operation_parameters()) names.emplace_back(parameter.name);
  return names;
}

std::string unknown(const char* what, const std::string& name,
                    const std::vector<std::string>& known) {
  return fmt::format("there is no {} '{}'{}", what, excerpt(name), suggestion(name, known));
}

struct Range {
  const char* low;
  const char* high;
};
/// Parameters that are the ends of a range.
constexpr std::array<Range, 3> kRanges{{{"crop.min-area", "crop.max-area"},
                                        {"blur.min-sigma", "blur.max-sigma"},
                                        {"noise.min-sigma", "noise.max-sigma"}}};

double value_of(const OpParameters& parameters, std::string_view name) {
  const auto& all = operation_parameters();
  return parameters.*std::ranges::find(all, name, &OpParameter::name)->value;
}

}  // namespace

const std::vector<OpParameter>& operation_parameters() {
  constexpr double kLeastArea = 1e-4;
  constexpr double kMostChange = 1;  // times the color strength
  constexpr double kMostHue = 0.2;   // at the largest color strength half a circle
  constexpr double kLeastSigma = 0.01;
  constexpr double kMostSigma = 100;
  static const std::vector<OpParameter> parameters{
      {"crop.min-area", &OpParameters::crop_min_area, kLeastArea, 1},
      {"crop.max-area", &OpParameters::crop_max_area, kLeastArea, 1},
      {"color.brightness", &OpParameters::color_brightness, 0, kMostChange},
      {"color.contrast", &OpParameters::color_contrast, 0, kMostChange},
      {"color.saturation", &OpParameters::color_saturation, 0, kMostChange},
      {"color.hue", &OpParameters::color_hue, 0, kMostHue},
      {"blur.min-sigma", &OpParameters::blur_min_sigma, kLeastSigma, kMostSigma},
      {"blur.max-sigma", &OpParameters::blur_max_sigma, kLeastSigma, kMostSigma},
      {"cutout.size", &OpParameters::cutout_size, 0, 1},
      {"cutout.fill", &OpParameters::cutout_fill, 0, 1},
      {"noise.min-sigma", &OpParameters::noise_min_sigma, 0, 1},
      {"noise.max-sigma", &OpParameters::noise_max_sigma, 0, 1},
      {"solarize.threshold", &OpParameters::solarize_threshold, 0, 1}};
  return parameters;
}

const char* name_of(AugmentOp op) { return entry(op).name; }

std::string operation_names() { return fmt::format("{}", fmt::join(op_names(), ",")); }

bool has_op(const AugmentationList& list, AugmentOp op) {
  return std::ranges::find(list, op, &OpChance::op) != list.end();
}

float usual_probability(AugmentOp op) { return entry(op).probability; }

std::string read_augmentation_list(const std::vector<std::string>& items, AugmentationList& list) {
  list.clear();
  if (items.empty()) return "the list is empty; give none for no operation";
  for (const std::string& item : items) {
    const std::size_t colon = item.find(':');
    const std::string name = item.substr(0, colon);
    if (name == "none" && colon == std::string::npos) {
      if (items.size() == 1) return "";
      return "none stands alone";
    }
    const auto* const found = std::ranges::find(kOps, std::string_view(name), &OpEntry::name);
    if (found == kOps.end()) return unknown("operation", name, op_names());
    const auto op = static_cast<AugmentOp>(found - kOps.begin());
    if (has_op(list, op)) return fmt::format("{} is given twice", name);
    auto probability = double{found->probability};
    if (colon != std::string::npos &&
        !read_value(item.substr(colon + 1), probability, at_least(0).at_most(1))) {
      return fmt::format("the probability of {} is '{}' instead of a number from 0 to 1", name,
                         excerpt(item.substr(colon + 1)));
    }
    list.push_back({op, static_cast<float>(probability)});
  }
  return "";
}

std::string read_operation_parameters(const std::vector<std::string>& items,
                                      OpParameters& parameters) {
  parameters = {};
  std::vector<std::string> seen;
  for (const std::string& item : items) {
    const std::size_t equals = item.find('=');
    const std::string name = item.substr(0, equals);
    const auto& all = operation_parameters();
    const auto found = std::ranges::find(all, std::string_view(name), &OpParameter::name);
    if (found == all.end()) return unknown("parameter", name, parameter_names());
    if (equals == std::string::npos) return fmt::format("{} has no value", name);
    if (std::ranges::find(seen, name) != seen.end()) return fmt::format("{} is given twice", name);
    seen.push_back(name);
    const std::string value = item.substr(equals + 1);
    if (!read_value(value, parameters.*found->value, at_least(found->low).at_most(found->high))) {
      return fmt::format("{} is '{}' instead of a number from {} to {}", name, excerpt(value),
                         found->low, found->high);
    }
  }
  for (const auto& [low, high] : kRanges) {
    if (value_of(parameters, low) > value_of(parameters, high)) {
      return fmt::format("{} is {}, more than {}, which is {}", low, value_of(parameters, low),
                         high, value_of(parameters, high));
    }
  }
  return "";
}

std::vector<std::string> in_earlier_order(std::vector<std::string> items) {
  const auto place = [](const std::string& item) {
    return std::ranges::find(kOps, std::string_view(item), &OpEntry::name) - kOps.begin();
  };
  std::ranges::stable_sort(items, {}, place);
  return items;
}

}  // namespace simclr
