// ResNets (He et al. 2016, torchvision's v1.5): block and channel counts, and the recorded encoder.

#include "layers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>

#include "simclr/core/check.hpp"
#include "simclr/core/names.hpp"
#include "simclr/nn/model.hpp"

namespace simclr::nn {

namespace {

struct Architecture {
  int depth;
  std::array<int, 4> blocks;
};
constexpr std::array<Architecture, 6> kArchitectures = {{{18, {2, 2, 2, 2}},
                                                         {34, {3, 4, 6, 3}},
                                                         {50, {3, 4, 6, 3}},
                                                         {101, {3, 4, 23, 3}},
                                                         {152, {3, 8, 36, 3}},
                                                         {200, {3, 24, 36, 3}}}};

}  // namespace

std::array<int, 4> blocks_per_group(const EncoderSpec& spec) {
  for (const Architecture& known : kArchitectures) {
    if (known.depth == spec.depth) return known.blocks;
  }
  fail("no ResNet of depth {}", spec.depth);
}

bool is_bottleneck(const EncoderSpec& spec) { return spec.depth >= 50; }

int expansion(const EncoderSpec& spec) { return is_bottleneck(spec) ? 4 : 1; }

std::int64_t channels_of(const EncoderSpec& spec, std::int64_t base) {
  return std::max<std::int64_t>(1, std::llround(static_cast<double>(base) * spec.width));
}

namespace {

struct ResnetRecorder {
  Recorder& recorder;
  const EncoderSpec& spec;
  const BatchNormContext& context;
  const EncoderOptions& options;

  Normalized conv_bn(const std::string& prefix, const std::string& suffix, TensorId x,
                     const ConvOptions& conv_options, float initial_gamma = 1) const {
    const TensorId y = conv(recorder, prefix + "conv" + suffix, x, conv_options);
    return batch_norm(recorder, context, prefix + "bn" + suffix, y,
                      {.initial_gamma = initial_gamma});
  }

  TensorId stem(TensorId x) const {
    const Recorder::Scope scope(recorder, "stem");
    const bool imagenet = spec.stem == Stem::imagenet;
    const ConvGeometry geometry = imagenet ? ConvGeometry{7, 2, 3} : ConvGeometry{3, 1, 1};
    const TensorId z = apply_relu(recorder, conv_bn("", "1", x, {channels_of(spec, 64), geometry}));
    return imagenet ? max_pool(recorder, z, spec.pool_padding) : z;
  }

  /// Two 3x3 convolutions (depths 18, 34), or 1x1, 3x3 with the stride, 1x1 (50 and deeper).
  Normalized residual_branch(const std::string& prefix, TensorId x, std::int64_t planes,
                             int stride) const {
    const ConvGeometry pointwise{1, 1, 0};
    if (!is_bottleneck(spec)) {
      const TensorId a = apply_relu(recorder, conv_bn(prefix, "1", x, {planes, {3, stride, 1}}));
      return conv_bn(prefix, "2", a, {planes, {3, 1, 1}}, /*initial_gamma=*/0);
    }
    const TensorId a = apply_relu(recorder, conv_bn(prefix, "1", x, {planes, pointwise}));
    const TensorId b = apply_relu(recorder, conv_bn(prefix, "2", a, {planes, {3, stride, 1}}));
    return conv_bn(prefix, "3", b, {planes * expansion(spec), pointwise}, /*initial_gamma=*/0);
  }

  TensorId block(const std::string& name, TensorId x, std::int64_t planes, int stride,
                 bool first) const {
    const Recorder::Scope scope(recorder, name);
    const std::string prefix = name + ".";
    const std::int64_t channels = planes * expansion(spec);
    const bool project = stride != 1 || recorder.info(x).shape[-1] != channels ||
                         (first && spec.projection_shortcut_everywhere);
    if (options.recompute_blocks) recorder.begin_recomputed_block();
    TensorId z;
    if (project) {
      const TensorId y = conv(recorder, prefix + "downsample.0", x, {channels, {1, stride, 0}});
      const Normalized shortcut = batch_norm(recorder, context, prefix + "downsample.1", y);
      z = join(recorder, residual_branch(prefix, x, planes, stride), shortcut);
    } else {
      z = join(recorder, residual_branch(prefix, x, planes, stride), x);
    }
    if (options.recompute_blocks) recorder.end_recomputed_block(z);
    return z;
  }

  /// Group 1, 2, 3 or 4.
  TensorId group(int number, TensorId x) const {
    const int blocks = blocks_per_group(spec)[static_cast<std::size_t>(number - 1)];
    const std::int64_t planes = channels_of(spec, std::int64_t{32} << number);
    TensorId z = x;
    for (int i = 0; i < blocks; ++i) {
      const int stride = number > 1 && i == 0 ? 2 : 1;
      z = block(fmt::format("layer{}.{}", number, i), z, planes, stride, i == 0);
    }
    return z;
  }
};

}  // namespace

TensorId resnet(Recorder& recorder, const EncoderSpec& spec, const BatchNormContext& context,
                TensorId x, const EncoderOptions& options) {
  BatchNormContext inference = context;
  inference.training = false;
  TensorId z = x;
  std::optional<Recorder::Frozen> frozen;
  // Group 0 is the stem.
  for (int group = 0; group <= options.groups; ++group) {
    frozen.reset();
    if (group <= options.frozen_groups) frozen.emplace(recorder);
    const ResnetRecorder net{recorder, spec, frozen ? inference : context, options};
    z = group == 0 ? net.stem(z) : net.group(group, z);
  }
  const Recorder::Scope scope(recorder, "avgpool");
  return global_avg_pool(recorder, z, options.feature_storage);
}

}  // namespace simclr::nn

namespace simclr {

std::string EncoderSpec::name() const { return fmt::format("resnet{}", depth); }

std::int64_t EncoderSpec::feature_channels() const {
  return nn::channels_of(*this, 512) * nn::expansion(*this);
}

std::vector<std::string> known_encoders() {
  std::vector<std::string> names;
  names.reserve(nn::kArchitectures.size());
  for (const auto& known : nn::kArchitectures)
    names.push_back(fmt::format("resnet{}", known.depth));
  return names;
}

int parse_encoder_depth(const std::string& name) {
  require_known("encoder", name, known_encoders());
  return std::stoi(name.substr(std::string("resnet").size()));
}

}  // namespace simclr
