#include "simclr/train/model_description.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

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

TEST(ModelDescription, NamesThePaddingOfPoolingOnlyIfItIsNotTorchvisions) {
  ModelDescription model = unusual_model();
  EXPECT_EQ(to_json(model).find("pool_padding"), std::string::npos);
  EXPECT_EQ(parse_model_description(to_json(model), "here").encoder.pool_padding,
            PoolPadding::torchvision);
  model.encoder.pool_padding = PoolPadding::same;
  const std::string json = to_json(model);
  EXPECT_EQ(parse_model_description(json, "here").encoder.pool_padding, PoolPadding::same);
  EXPECT_THROW(parse_model_description(with(json, "\"same\"", "\"valid\""), "here"), RefusedError);
}

TEST(ModelDescription, NamesSelectiveKernelsOnlyIfThereAreAny) {
  ModelDescription model = unusual_model();
  model.encoder = {.depth = 50, .width = 0.5};
  EXPECT_EQ(to_json(model).find("sk_ratio"), std::string::npos);
  model.encoder.sk_ratio = 0.0625;
  const std::string json = to_json(model);
  EXPECT_EQ(parse_model_description(json, "here").encoder.sk_ratio, 0.0625);
  for (const char* wrong : {"0", "-1", "2", "\"some\""}) {
    EXPECT_THROW(parse_model_description(with(json, "0.0625", wrong), "here"), RefusedError);
  }
  EXPECT_THROW(parse_model_description(with(json, "resnet50", "resnet18"), "here"), RefusedError);
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

TEST(ModelDescription, RefusesModelsThatCannotBe) {
  const std::string json = to_json(unusual_model());
  const std::vector<std::pair<const char*, const char*>> changes{
      {R"("image_size":28)", R"("image_size":0)"},
      {R"("image_size":28)", R"("image_size":2147483648)"},
      {R"("image_size":28)", R"("image_size":-28)"},
      {R"("image_size":28)", R"("image_size":28.5)"},
      {R"("image_size":28)", R"("image_size":1e300)"},
      {R"("image_size":28)", R"("image_size":18446744073709551615)"},
      {R"("image_size":28)", R"("image_size":null)"},
      {R"("width":0.25)", R"("width":0)"},
      {R"("width":0.25)", R"("width":-1)"},
      {R"("width":0.25)", R"("width":1e300)"},
      {R"("head_layers":3)", R"("head_layers":0)"},
      {R"("head_layers":3)", R"("head_layers":2147483647)"},
      {R"("head_hidden":96)", R"("head_hidden":-1)"},
      {R"("head_hidden":96)", R"("head_hidden":9223372036854775807)"},
      {R"("embedding_dim":48)", R"("embedding_dim":4611686018427387904)"},
      {R"("mean":[0.5,)", R"("mean":[1e300,)"},
      {R"("mean":[0.5,)", R"("mean":[)"},
      {R"("std":[)", R"("std":[0.0,)"},
      {R"("std":[0.2)", R"("std":[-0.2)"},
      {R"("std":[0.2)", R"("std":[0)"}};
  for (const auto& [from, to] : changes) {
    try {
      (void)parse_model_description(with(json, from, to), "file.h5");
      FAIL() << to << " is accepted";
    } catch (const RefusedError& error) {
      const std::string message = error.what();
      EXPECT_TRUE(message.starts_with("file.h5: ")) << message;
      EXPECT_EQ(message.find("json.exception"), std::string::npos) << message;
    }
  }
}

}  // namespace
}  // namespace simclr
