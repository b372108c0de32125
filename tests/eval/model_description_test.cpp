#include "simclr/train/model_description.hpp"

#include <gtest/gtest.h>

#include <string>

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

ModelDescription unusual_model() {
  ModelDescription model;
  model.encoder = {
      .depth = 101, .width = 0.25, .stem = Stem::cifar, .projection_shortcut_everywhere = true};
  model.head = {.kind = HeadKind::linear, .layers = 3, .hidden = 96, .embedding = 48};
  model.image_size = 28;
  model.mean = {0.5F, 0.25F, 0.1F};
  model.std = {0.2F, 0.3F, 0.4F};
  return model;
}

std::string with(std::string json, const std::string& from, const std::string& to) {
  const auto at = json.find(from);
  EXPECT_NE(at, std::string::npos);
  return json.replace(at, from.size(), to);
}

TEST(ModelDescription, ReadsBackItsJson) {
  const ModelDescription model = unusual_model();
  const ModelDescription read = parse_model_description(to_json(model), "here");
  EXPECT_EQ(read.encoder.depth, 101);
  EXPECT_EQ(read.encoder.width, 0.25);
  EXPECT_EQ(read.encoder.stem, Stem::cifar);
  EXPECT_TRUE(read.encoder.projection_shortcut_everywhere);
  EXPECT_EQ(read.head.kind, HeadKind::linear);
  EXPECT_EQ(read.head.layers, 3);
  EXPECT_EQ(read.head.hidden, 96);
  EXPECT_EQ(read.head.embedding, 48);
  EXPECT_EQ(read.image_size, 28);
  EXPECT_EQ(read.mean, model.mean);
  EXPECT_EQ(read.std, model.std);
  EXPECT_FALSE(parse_model_description(to_json({}), "here").mean.has_value());
}

TEST(ModelDescription, RefusesUnknownValues) {
  const std::string json = to_json(unusual_model());
  for (const std::string& broken :
       {with(json, "\"cifar\"", "\"cedar\""), with(json, "\"linear\"", "\"kernel\""),
        with(json, "resnet101", "resnet99"), with(json, "\"width\"", "\"breadth\""),
        with(json, "0.25", "\"wide\""), std::string("{"), std::string()}) {
    EXPECT_THROW(parse_model_description(broken, "here"), RefusedError) << broken;
  }
}

}  // namespace
}  // namespace simclr
