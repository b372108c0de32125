#include "simclr/train/model_description.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "simclr/augment/augmentation.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/foreign_text.hpp"
#include "simclr/data/labeled_data.hpp"

namespace simclr {

// nlohmann's macros map an unknown name to the first entry, so known names are checked on reading.
NLOHMANN_JSON_SERIALIZE_ENUM(Stem, {{Stem::imagenet, "imagenet"}, {Stem::cifar, "cifar"}})
NLOHMANN_JSON_SERIALIZE_ENUM(PoolPadding, {{PoolPadding::torchvision, "torchvision"},
                                           {PoolPadding::same, "same"}})
NLOHMANN_JSON_SERIALIZE_ENUM(HeadKind, {{HeadKind::none, "none"},
                                        {HeadKind::linear, "linear"},
                                        {HeadKind::nonlinear, "nonlinear"}})

namespace {

using Json = nlohmann::ordered_json;

/// A value for a message. Lists are not written out, which would recurse as deep as the file says.
std::string shown(const Json& value) {
  return value.is_primitive() ? value.dump() : fmt::format("an {}", value.type_name());
}

template <class Enum>
Enum parse_name(const Json& object, const char* field, const std::string& origin) {
  const auto value = object.at(field).get<Enum>();
  if (Json(value) != object.at(field)) {
    refuse("{}: unknown {} in its model description: {}", origin, field, shown(object.at(field)));
  }
  return value;
}

int parse_depth(const std::string& encoder, const std::string& origin) {
  try {
    return parse_encoder_depth(encoder);
  } catch (const RefusedError& error) {
    refuse("{}: in its model description: {}", origin, error.what());
  }
}

Json channels_json(const std::optional<std::array<float, 3>>& values) {
  return values ? Json(*values) : Json(nullptr);
}

/// Reads a field as a whole number within the range; JSON has others, too.
std::int64_t parse_count(const Json& object, const char* field, std::int64_t low, std::int64_t high,
                         const std::string& origin) {
  const Json& value = object.at(field);
  const bool is_count = value.is_number_integer() && !(value > high) && !(value < low);
  if (!is_count) {
    refuse("{}: {} in its model description is {}; allowed: a whole number, {} to {}", origin,
           field, shown(value), low, high);
  }
  return value.get<std::int64_t>();
}

double parse_width(const Json& object, const std::string& origin) {
  const Json& value = object.at("width");
  const double width = value.get<double>();
  if (!(width >= kNarrowestEncoder && width <= kWidestEncoder)) {
    refuse("{}: width in its model description is {}; allowed: {} to {}", origin, shown(value),
           kNarrowestEncoder, kWidestEncoder);
  }
  return width;
}

double parse_sk_ratio(const Json& object, const EncoderSpec& encoder, const std::string& origin) {
  const Json& value = object.at("sk_ratio");
  const double ratio = value.get<double>();
  if (!(ratio > 0 && ratio <= 1)) {
    refuse("{}: sk_ratio in its model description is {}; allowed: above 0, at most 1", origin,
           shown(value));
  }
  const std::string problem = selective_kernels_problem(encoder);
  if (!problem.empty()) {
    refuse("{}: sk_ratio in its model description is {}, but {}", origin, shown(value), problem);
  }
  return ratio;
}

std::optional<std::array<float, 3>> parse_channels(const Json& object, const char* field,
                                                   float above, const std::string& origin) {
  const Json& value = object.at(field);
  if (value.is_null()) return std::nullopt;
  const bool three = value.is_array() && value.size() == 3;
  const auto channels = three ? value.get<std::array<float, 3>>() : std::array<float, 3>{};
  if (!three || !std::ranges::all_of(channels, [&](float channel) {
        return std::isfinite(channel) && channel > above;
      })) {
    refuse("{}: {} in its model description is {}; allowed: null or three numbers", origin, field,
           shown(value));
  }
  return channels;
}

}  // namespace

int ModelDescription::head_layers() const {
  return classifier ? classifier->head_layers : head.layer_count();
}

std::string to_json(const ModelDescription& model) {
  Json object{
      {"encoder", model.encoder.name()},
      {"width", model.encoder.width},
      {"stem", model.encoder.stem},
      {"projection_shortcut_everywhere", model.encoder.projection_shortcut_everywhere},
      {"head", model.head.kind},
      {"head_layers", model.head.layers},
      {"head_hidden", model.head.hidden},
      {"embedding_dim", model.head.embedding},
      {"image_size", model.image_size},
      {"mean", channels_json(model.mean)},
      {"std", channels_json(model.std)},
  };
  if (model.encoder.pool_padding != PoolPadding::torchvision) {
    object["pool_padding"] = model.encoder.pool_padding;
  }
  if (model.encoder.sk_ratio > 0) object["sk_ratio"] = model.encoder.sk_ratio;
  if (model.classifier) {
    object["classes"] = model.classifier->classes;
    object["classifier_head_layers"] = model.classifier->head_layers;
  }
  return object.dump();
}

ModelDescription parse_model_description(const std::string& json, const std::string& origin) {
  try {
    const Json object = Json::parse(json);
    ModelDescription model;
    model.encoder.depth = parse_depth(object.at("encoder").get<std::string>(), origin);
    model.encoder.width = parse_width(object, origin);
    model.encoder.stem = parse_name<Stem>(object, "stem", origin);
    model.encoder.projection_shortcut_everywhere =
        object.at("projection_shortcut_everywhere").get<bool>();
    if (object.contains("pool_padding")) {
      model.encoder.pool_padding = parse_name<PoolPadding>(object, "pool_padding", origin);
    }
    if (object.contains("sk_ratio")) {
      model.encoder.sk_ratio = parse_sk_ratio(object, model.encoder, origin);
    }
    model.head.kind = parse_name<HeadKind>(object, "head", origin);
    const auto count = [&](const char* field, std::int64_t low, std::int64_t high) {
      return parse_count(object, field, low, high, origin);
    };
    model.head.layers = static_cast<int>(count("head_layers", 1, kMostHeadLayers));
    model.head.hidden = count("head_hidden", 0, kMostHeadChannels);
    model.head.embedding = count("embedding_dim", 1, kMostHeadChannels);
    model.image_size = count("image_size", kSmallestImageSize, kLargestImageSize);
    model.mean = parse_channels(object, "mean", std::numeric_limits<float>::lowest(), origin);
    model.std = parse_channels(object, "std", 0, origin);
    if (object.contains("classes")) {
      model.classifier = {.classes = count("classes", 1, kMostClasses),
                          .head_layers = static_cast<int>(
                              count("classifier_head_layers", 0, model.head.layer_count()))};
    }
    return model;
  } catch (const Json::exception& error) {
    refuse("{}: cannot read its model description: {}", origin, json_reason(error.what()));
  }
}

}  // namespace simclr
