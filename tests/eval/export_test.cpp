#include "simclr/eval/export.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "eval/synthetic_checkpoint.hpp"

namespace simclr {
namespace {

template <class Tensor>
const Tensor& tensor_named(const std::vector<Tensor>& tensors, const std::string& name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
  if (found == tensors.end()) throw std::runtime_error("no tensor " + name);
  return *found;
}

ModelDescription small_model() {
  ModelDescription model;
  model.encoder = {.depth = 50, .width = 0.125, .stem = Stem::imagenet};
  model.image_size = 64;
  return model;
}

TEST(Export, ReordersFiltersToOihw) {
  const Checkpoint checkpoint = synthetic_checkpoint(small_model(), 3);
  const auto content = export_checkpoint(checkpoint, "here");
  const NamedTensor& stored = tensor_named(checkpoint.parameters, "conv1.weight");
  const NamedTensor& exported = tensor_named(content.tensors, "conv1.weight");
  ASSERT_EQ(stored.shape, (Shape{8, 7, 7, 3}));
  ASSERT_EQ(exported.shape, (Shape{8, 3, 7, 7}));
  ASSERT_EQ(exported.values.size(), stored.values.size());
  for (std::size_t k = 0; k < 8; ++k) {
    for (std::size_t r = 0; r < 7; ++r) {
      for (std::size_t s = 0; s < 7; ++s) {
        for (std::size_t c = 0; c < 3; ++c) {
          ASSERT_EQ(exported.values[((k * 3 + c) * 7 + r) * 7 + s],
                    stored.values[((k * 7 + r) * 7 + s) * 3 + c]);
        }
      }
    }
  }
}

TEST(Export, HoldsEveryTensorOnceAndDescribesItself) {
  const Checkpoint checkpoint = synthetic_checkpoint(small_model(), 3);
  const auto content = export_checkpoint(checkpoint, "here");
  EXPECT_EQ(content.tensors.size(), checkpoint.parameters.size() + checkpoint.running.size());
  std::set<std::string> names;
  for (const auto& tensor : content.tensors) names.insert(tensor.name);
  EXPECT_EQ(names.size(), content.tensors.size());
  for (const char* name : {"bn1.running_mean", "layer1.0.downsample.1.running_var",
                           "layer4.2.bn3.bias", "projection_head.0.linear.weight",
                           "projection_head.0.bn.bias", "projection_head.1.bn.running_var"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
  EXPECT_FALSE(names.contains("projection_head.1.bn.bias"));
  const std::map<std::string, std::string> expected = {
      {"format_version", "1"},       {"step", "0"},
      {"encoder", "resnet50"},       {"width", "0.125"},
      {"stem", "imagenet"},          {"pixel_range", "0,1"},
      {"max_pool", "yes"},           {"projection_shortcut", "no"},
      {"feature_channels", "256"},   {"normalization_mean", "0,0,0"},
      {"normalization_std", "1,1,1"}};
  for (const auto& [key, value] : expected) EXPECT_EQ(content.metadata.at(key), value) << key;
  EXPECT_FALSE(content.metadata.contains("loading_hint"));
}

TEST(Export, SaysHowTorchvisionsModelMustChange) {
  const auto hint_of = [](const EncoderSpec& encoder) {
    ModelDescription model = small_model();
    model.encoder = encoder;
    const auto metadata = export_checkpoint(synthetic_checkpoint(model, 3), "here").metadata;
    const auto found = metadata.find("loading_hint");
    std::string hint = found == metadata.end() ? "" : found->second;
    EXPECT_EQ(hint, loading_hint(encoder));
    return hint;
  };
  EXPECT_NE(hint_of({18, 0.125, Stem::cifar}).find("maxpool"), std::string::npos);
  EXPECT_EQ(hint_of({18, 0.125, Stem::imagenet}), "");
  EXPECT_NE(hint_of({18, 0.125, Stem::imagenet, true}).find("layer1.0.downsample"),
            std::string::npos);
  EXPECT_NE(hint_of({34, 0.125, Stem::cifar, true}).find("layer1.0.downsample"), std::string::npos);
  EncoderSpec as_tensorflow{18, 0.125, Stem::imagenet};
  as_tensorflow.pool_padding = PoolPadding::same;
  EXPECT_NE(hint_of(as_tensorflow).find("ceil_mode=True"), std::string::npos);
  as_tensorflow.width = 1;
  EXPECT_NE(loading_code({.encoder = as_tensorflow}, "w").find("ceil_mode=True"),
            std::string::npos);
  as_tensorflow.stem = Stem::cifar;  // has no pooling
  EXPECT_EQ(loading_code({.encoder = as_tensorflow}, "w").find("ceil_mode"), std::string::npos);
  EncoderSpec selective{50, 0.25, Stem::imagenet};
  selective.sk_ratio = 0.0625;
  EXPECT_NE(hint_of(selective).find("selective kernels"), std::string::npos);
  EXPECT_NE(loading_code({.encoder = selective}, "w").find("sk_ratio=0.0625"), std::string::npos);
  // At a width that torchvision lacks, the hint does not speak of a model that is not there.
  EXPECT_NE(loading_hint({18, 0.125, Stem::cifar}).find("which torchvision does not have"),
            std::string::npos);
  EXPECT_TRUE(loading_hint({18, 1, Stem::cifar}).starts_with("in torchvision's model, replace"));
  // torchvision's has this shortcut, too.
  EXPECT_EQ(hint_of({50, 0.125, Stem::imagenet, true}), "");
}

}  // namespace
}  // namespace simclr
