#include "simclr/train/model_description.hpp"

#include <nlohmann/json.hpp>

#include "simclr/core/check.hpp"

namespace simclr {

// nlohmann's macros map an unknown name to the first entry, so known names are checked on reading.
NLOHMANN_JSON_SERIALIZE_ENUM(Stem, {{Stem::imagenet, "imagenet"}, {Stem::cifar, "cifar"}})
NLOHMANN_JSON_SERIALIZE_ENUM(HeadKind, {{HeadKind::none, "none"},
                                        {HeadKind::linear, "linear"},
                                        {HeadKind::nonlinear, "nonlinear"}})

namespace {

using Json = nlohmann::ordered_json;

template <class Enum>
Enum parse_name(const Json& object, const char* field, const std::string& origin) {
  const auto value = object.at(field).get<Enum>();
  if (Json(value) != object.at(field)) {
    refuse("{}: unknown {} in its model description: {}", origin, field, object.at(field).dump());
  }
  return value;
}

Json channels_json(const std::optional<std::array<float, 3>>& values) {
  return values ? Json(*values) : Json(nullptr);
}

std::optional<std::array<float, 3>> parse_channels(const Json& value) {
  if (value.is_null()) return std::nullopt;
  return value.get<std::array<float, 3>>();
}

}  // namespace

std::string to_json(const ModelDescription& model) {
  const Json object{
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
  return object.dump();
}

ModelDescription parse_model_description(const std::string& json, const std::string& origin) {
  try {
    const Json object = Json::parse(json);
    ModelDescription model;
    model.encoder.depth = parse_encoder_depth(object.at("encoder").get<std::string>());
    model.encoder.width = object.at("width").get<double>();
    model.encoder.stem = parse_name<Stem>(object, "stem", origin);
    model.encoder.projection_shortcut_everywhere =
        object.at("projection_shortcut_everywhere").get<bool>();
    model.head.kind = parse_name<HeadKind>(object, "head", origin);
    model.head.layers = object.at("head_layers").get<int>();
    model.head.hidden = object.at("head_hidden").get<std::int64_t>();
    model.head.embedding = object.at("embedding_dim").get<std::int64_t>();
    model.image_size = object.at("image_size").get<std::int64_t>();
    model.mean = parse_channels(object.at("mean"));
    model.std = parse_channels(object.at("std"));
    return model;
  } catch (const nlohmann::json::exception& error) {
    refuse("{}: cannot read its model description: {}", origin, error.what());
  }
}

}  // namespace simclr
