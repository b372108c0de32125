#include "simclr/nn/model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "../../src/nn/layers.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/hash.hpp"
#include "simclr/core/random.hpp"

namespace simclr {
namespace {

std::map<std::string, Shape> parameter_shapes(const EncoderSpec& encoder) {
  FeatureSpec spec;
  spec.encoder = encoder;
  spec.batch = 1;
  spec.image_size = 64;
  const Program program = record_features(spec);
  std::map<std::string, Shape> shapes;
  for (const Parameter& p : program.parameters) shapes[p.name] = program.info(p.value).shape;
  return shapes;
}

/// Numbers of parameters of torchvision's models without the classifier.
TEST(Resnet, HasAsManyParametersAsTorchvision) {
  const std::map<int, std::int64_t> expected = {
      {18, 11176512}, {34, 21284672}, {50, 23508032}, {101, 42500160}, {152, 58143808}};
  for (const auto& [depth, parameters] : expected) {
    std::int64_t total = 0;
    for (const auto& [name, shape] : parameter_shapes({.depth = depth})) total += shape.elements();
    EXPECT_EQ(total, parameters) << "resnet" << depth;
  }
}

/// Numbers of parameters of SimCLRv2's encoders without the classifier, by Google's code.
TEST(Resnet, HasAsManyParametersAsSimclrV2) {
  constexpr double kRatio = 0.0625;
  struct Case {
    int depth;
    double width, sk_ratio;
    std::int64_t parameters;
  };
  const std::vector<Case> cases{
      {50, 1, kRatio, 35215584},   {50, 2, 0, 93907072},        {50, 2, kRatio, 140306048},
      {50, 4, 0, 375378176},       {101, 1, kRatio, 64662304},  {101, 2, 0, 169771136},
      {101, 2, kRatio, 257132224}, {152, 1, kRatio, 88940896},  {152, 2, 0, 232253568},
      {152, 2, kRatio, 353398528}, {152, 3, kRatio, 794704160}, {200, 1, 0, 62624832}};
  for (const Case& c : cases) {
    std::int64_t total = 0;
    for (const auto& [name, shape] :
         parameter_shapes({.depth = c.depth, .width = c.width, .sk_ratio = c.sk_ratio})) {
      total += shape.elements();
    }
    EXPECT_EQ(total, c.parameters) << c.depth << " x " << c.width << ", " << c.sk_ratio;
  }
}

/// Every layer has its channels, and what lies behind it is not part of the program.
TEST(Features, EndWithTheLayer) {
  struct Case {
    FeatureLayer layer;
    std::int64_t channels;
    std::string last, first_left_out;
  };
  const std::vector<Case> cases{
      {{.groups = 1}, 256, "layer1.2.bn3.bias", "layer2.0.conv1.weight"},
      {{.groups = 2}, 512, "layer2.3.bn3.bias", "layer3.0.conv1.weight"},
      {{.groups = 3}, 1024, "layer3.5.bn3.bias", "layer4.0.conv1.weight"},
      {{}, 2048, "layer4.2.bn3.bias", "projection_head.0.linear.weight"},
      {{.head_layers = 1}, 96, "projection_head.0.bn.bias", "projection_head.1.linear.weight"},
      {{.head_layers = 2}, 96, "projection_head.1.bn.bias", "projection_head.2.linear.weight"},
      {{.head_layers = 3}, 128, "projection_head.2.bn.weight", "classifier.weight"}};
  for (const Case& c : cases) {
    const Program program = record_features({.encoder = {.depth = 50},
                                             .head = {.layers = 3, .hidden = 96},
                                             .layer = c.layer,
                                             .batch = 1,
                                             .image_size = 32});
    const auto holds = [&](const std::string& name) {
      return std::ranges::any_of(program.parameters,
                                 [&](const Parameter& p) { return p.name == name; });
    };
    EXPECT_EQ(program.info(program.at("features")).shape, (Shape{1, c.channels})) << c.last;
    EXPECT_TRUE(holds(c.last)) << c.last;
    EXPECT_FALSE(holds(c.first_left_out)) << c.first_left_out;
  }
}

TEST(Resnet, HasTorchvisionsNamesAndShapes) {
  const auto shapes = parameter_shapes({.depth = 50});
  EXPECT_EQ(shapes.at("conv1.weight"), (Shape{64, 7, 7, 3}));
  EXPECT_EQ(shapes.at("layer1.0.downsample.0.weight"), (Shape{256, 1, 1, 64}));
  EXPECT_EQ(shapes.at("layer1.0.downsample.1.bias"), (Shape{256}));
  EXPECT_EQ(shapes.at("layer4.2.conv2.weight"), (Shape{512, 3, 3, 512}));
  EXPECT_EQ(shapes.at("layer4.2.bn3.weight"), (Shape{2048}));
  const auto cifar = parameter_shapes({.depth = 18, .stem = Stem::cifar});
  EXPECT_EQ(cifar.at("conv1.weight"), (Shape{64, 3, 3, 3}));
  EXPECT_FALSE(cifar.contains("layer1.0.downsample.0.weight"));
}

TEST(Resnet, NamesTheLayersThatTorchvisionLacks) {
  const auto shapes = parameter_shapes({.depth = 50, .width = 0.5, .sk_ratio = 0.0625});
  EXPECT_EQ(shapes.at("conv1.0.weight"), (Shape{16, 3, 3, 3}));
  EXPECT_EQ(shapes.at("conv1.6.weight"), (Shape{32, 3, 3, 16}));
  EXPECT_EQ(shapes.at("bn1.weight"), (Shape{32}));
  EXPECT_EQ(shapes.at("layer1.0.downsample.1.weight"), (Shape{128, 1, 1, 32}));
  EXPECT_EQ(shapes.at("layer1.0.downsample.2.weight"), (Shape{128}));
  EXPECT_EQ(shapes.at("layer4.2.conv2.weight"), (Shape{512, 3, 3, 256}));
  EXPECT_EQ(shapes.at("layer4.2.sk.conv1.weight"), (Shape{32, 1, 1, 256}));
  EXPECT_EQ(shapes.at("layer4.2.sk.conv2.weight"), (Shape{512, 1, 1, 32}));
  EXPECT_FALSE(shapes.contains("layer1.0.downsample.0.weight"));
}

TEST(Resnet, HasSelectiveKernelsOnlyInBottlenecksOfWholeBlocks) {
  EXPECT_EQ(selective_kernels_problem({.depth = 50, .width = 0.25}), "");
  EXPECT_NE(selective_kernels_problem({.depth = 34}), "");
  EXPECT_NE(selective_kernels_problem({.depth = 50, .width = 0.3}), "");
}

TEST(Resnet, WidthScalesEveryLayer) {
  EXPECT_EQ((EncoderSpec{.depth = 50, .width = 2}.feature_channels()), 4096);
  EXPECT_EQ((EncoderSpec{.depth = 18, .width = 0.25}.feature_channels()), 128);
  const auto wide = parameter_shapes({.depth = 18, .width = 0.5});
  EXPECT_EQ(wide.at("conv1.weight"), (Shape{32, 7, 7, 3}));
  EXPECT_EQ(wide.at("layer4.1.conv2.weight"), (Shape{256, 3, 3, 256}));
}

TEST(Resnet, RefusesAnUnknownNameAndSuggestsTheNearest) {
  EXPECT_EQ(parse_encoder_depth("resnet101"), 101);
  try {
    parse_encoder_depth("resnet5O");
    FAIL() << "accepted an unknown encoder";
  } catch (const RefusedError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'resnet50'"), std::string::npos);
  }
}

TEST(Layers, OneProgramMayHoldTwoEncoders) {
  Recorder recorder;
  const Recorder::Frozen frozen(recorder);
  const nn::BatchNormContext context{.local_samples = 2};
  const TensorId image = recorder.tensor("image", {4, 8, 8, 3}, DType::f32, Storage::input);
  for (const std::string name : {"student", "teacher"}) {
    const TensorId y = nn::conv(recorder, name, image, {16, {3, 1, 1}});
    const TensorId h = nn::global_avg_pool(recorder, y, Storage::output);
    recorder.publish(name + ".h", h);
    recorder.publish(name + ".z", nn::projection_head(recorder, {.embedding = 16}, context, h));
  }
  const Program program = recorder.finish();
  EXPECT_EQ(program.named.size(), 4U);
  EXPECT_NE(program.at("student.h"), program.at("teacher.h"));
}

struct Moments {
  double mean = 0;
  double stddev = 0;
  double largest = 0;
};
Moments moments(const Program& program, const std::vector<float>& flat, const std::string& name) {
  for (const Parameter& p : program.parameters) {
    if (p.name != name) continue;
    const TensorInfo& info = program.info(p.value);
    const auto n = static_cast<double>(info.shape.elements());
    Moments m;
    double squares = 0;
    for (std::int64_t i = 0; i < info.shape.elements(); ++i) {
      const double value = flat[static_cast<std::size_t>(info.offset + i)];
      m.mean += value / n;
      squares += value * value / n;
      m.largest = std::max(m.largest, std::abs(value));
    }
    m.stddev = std::sqrt(squares - m.mean * m.mean);
    return m;
  }
  ADD_FAILURE() << "no parameter " << name;
  return {};
}

TEST(Initialization, DrawsTheDistributionsOfTheReferenceCode) {
  PretrainingSpec spec;
  spec.encoder = {.depth = 18};
  spec.local_samples = 1;
  spec.image_size = 64;
  const Program program = record_pretraining(spec);
  const std::vector<float> flat = initial_parameters(program, 3);
  const double stddev = 1 / std::sqrt(256.0 * 9);  // variance scale 1 over the fan-in
  const Moments conv = moments(program, flat, "layer3.1.conv2.weight");
  EXPECT_NEAR(conv.mean, 0, 5 * stddev / std::sqrt(589824.0));
  EXPECT_NEAR(conv.stddev, stddev, 0.005 * stddev);
  EXPECT_LE(conv.largest, 2 / 0.87962566 * stddev * 1.0001);  // truncated at two sigma
  const Moments head = moments(program, flat, "projection_head.0.linear.weight");
  EXPECT_NEAR(head.stddev, 0.01, 0.0001);
  EXPECT_EQ(moments(program, flat, "layer1.0.bn2.weight").largest,
            0);  // gamma of a block's last BN
  EXPECT_EQ(moments(program, flat, "layer1.0.bn1.weight").mean, 1);
}

TEST(Initialization, DependsOnlyOnSeedAndName) {
  PretrainingSpec spec;
  spec.encoder = {.depth = 18, .width = 0.25};
  spec.local_samples = 1;
  spec.image_size = 32;
  const Program two_layers = record_pretraining(spec);
  spec.head.layers = 3;
  spec.world_size = 4;
  const Program three_layers = record_pretraining(spec);
  const auto value = [&](const Program& program, std::uint64_t seed) {
    const auto flat = initial_parameters(program, seed);
    return flat[static_cast<std::size_t>(program.info(program.parameters[0].value).offset)];
  };
  EXPECT_EQ(value(two_layers, 1), value(three_layers, 1));
  EXPECT_NE(value(two_layers, 1), value(two_layers, 2));
}

/// The initial values of a parameter, drawn one after the other.
std::vector<float> drawn_in_order(const Parameter& parameter, std::int64_t elements,
                                  std::uint64_t seed) {
  const std::uint64_t name = hash64(std::as_bytes(std::span(parameter.name)));
  PhiloxStream stream(seed, RandomPurpose::kInitialization, static_cast<std::uint32_t>(name),
                      static_cast<std::uint32_t>(name >> 32));
  const auto normal = [&] {
    const double u = (static_cast<double>(stream.next_bits()) + 0.5) * 0x1.0p-32;
    const double v = static_cast<double>(stream.next_bits()) * 0x1.0p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  };
  std::vector<float> values;
  while (std::ssize(values) < elements) {
    const double value = normal();
    if (parameter.initial.kind == InitialValue::Kind::normal) {
      values.push_back(static_cast<float>(parameter.initial.scale * value));
    } else if (std::abs(value) <= 2.0) {
      values.push_back(static_cast<float>(parameter.initial.scale * (value / 0.87962566103423978)));
    }
  }
  return values;
}

TEST(Initialization, DoesNotDependOnThreads) {
  PretrainingSpec spec;
  spec.encoder = {.depth = 18, .width = 0.5};
  spec.local_samples = 1;
  spec.image_size = 32;
  const Program program = record_pretraining(spec);
  // Recorded when the parameters were drawn one after the other.
  const std::vector<float> flat = initial_parameters(program, 7);
  EXPECT_EQ(to_hex(hash64(std::as_bytes(std::span(flat)))), "0b0a0d0c636953e6");
  int drawn = 0;
  for (const Parameter& parameter : program.parameters) {
    const std::vector<float> values = initial_values(program, parameter, 7);
    for (const int threads : {2, 4, 7}) {
      EXPECT_EQ(initial_values(program, parameter, 7, threads), values) << parameter.name;
    }
    if (parameter.initial.kind == InitialValue::Kind::constant) continue;
    EXPECT_EQ(values, drawn_in_order(parameter, std::ssize(values), 7)) << parameter.name;
    ++drawn;
  }
  EXPECT_GT(drawn, 20);
}

TEST(Head, LastNormalizationHasNoBeta) {
  PretrainingSpec spec;
  spec.encoder = {.depth = 18, .width = 0.25};
  spec.local_samples = 1;
  spec.image_size = 32;
  spec.head.layers = 3;
  std::map<std::string, Shape> shapes;
  const Program program = record_pretraining(spec);
  for (const Parameter& p : program.parameters) shapes[p.name] = program.info(p.value).shape;
  EXPECT_EQ(shapes.at("projection_head.0.linear.weight"), (Shape{128, 128}));
  EXPECT_TRUE(shapes.contains("projection_head.1.bn.bias"));
  EXPECT_EQ(shapes.at("projection_head.2.linear.weight"), (Shape{128, 128}));
  EXPECT_TRUE(shapes.contains("projection_head.2.bn.weight"));
  EXPECT_FALSE(shapes.contains("projection_head.2.bn.bias"));
}

}  // namespace
}  // namespace simclr
