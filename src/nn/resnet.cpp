// ResNets (He et al. 2016, torchvision's v1.5; with selective kernels, SimCLRv2's): block and
// channel counts, and the recorded encoder.

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
#include "simclr/program/pooling.hpp"

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

bool has_selective_kernels(const EncoderSpec& spec) { return spec.sk_ratio > 0; }

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
    if (imagenet && has_selective_kernels(spec)) {
      return max_pool(recorder, deep_stem(x), spec.pool_padding);
    }
    const ConvGeometry geometry = imagenet ? ConvGeometry{7, 2, 3} : ConvGeometry{3, 1, 1};
    const TensorId z = apply_relu(recorder, conv_bn("", "1", x, {channels_of(spec, 64), geometry}));
    return imagenet ? max_pool(recorder, z, spec.pool_padding) : z;
  }

  /// ResNet-D's three convolutions, under timm's names.
  TensorId deep_stem(TensorId x) const {
    const std::int64_t channels = channels_of(spec, 64);
    const auto layer = [&](const char* convolution, const char* norm, TensorId from,
                           const ConvOptions& convolved) {
      const TensorId y = conv(recorder, convolution, from, convolved);
      return apply_relu(recorder, batch_norm(recorder, context, norm, y));
    };
    TensorId z = layer("conv1.0", "conv1.1", x, {channels / 2, {3, 2, 1}});
    z = layer("conv1.3", "conv1.4", z, {channels / 2, {3, 1, 1}});
    return layer("conv1.6", "bn1", z, {channels, {3, 1, 1}});
  }

  /// A selective kernel in place of a bottleneck's 3x3 convolution.
  TensorId selective_kernel(const std::string& prefix, TensorId x, std::int64_t planes,
                            int stride) const {
    const TensorId streams =
        apply_relu(recorder, conv_bn(prefix, "2", x, {2 * planes, {3, stride, 1}}));
    const Recorder::Scope scope(recorder, "sk");
    const TensorId mean = global_avg_pool(recorder, streams, Storage::arena, 2);
    const auto reduced = static_cast<std::int64_t>(static_cast<double>(planes) * spec.sk_ratio);
    const TensorId y = linear(
        recorder, prefix + "sk.conv1", mean,
        {.channels = std::max<std::int64_t>(reduced, kFewestSelectChannels), .pointwise = true});
    const TensorId a = apply_relu(recorder, batch_norm(recorder, context, prefix + "sk.bn1", y));
    const TensorId logits =
        linear(recorder, prefix + "sk.conv2", a, {.channels = 2 * planes, .pointwise = true});
    return select_streams(recorder, streams, logits);
  }

  /// Two 3x3 convolutions (depths 18, 34), or 1x1, 3x3 or selective kernel with the stride, 1x1 (50
  /// and deeper).
  Normalized residual_branch(const std::string& prefix, TensorId x, std::int64_t planes,
                             int stride) const {
    const ConvGeometry pointwise{1, 1, 0};
    if (!is_bottleneck(spec)) {
      const TensorId a = apply_relu(recorder, conv_bn(prefix, "1", x, {planes, {3, stride, 1}}));
      return conv_bn(prefix, "2", a, {planes, {3, 1, 1}}, /*initial_gamma=*/0);
    }
    const TensorId a = apply_relu(recorder, conv_bn(prefix, "1", x, {planes, pointwise}));
    const TensorId b =
        has_selective_kernels(spec)
            ? selective_kernel(prefix, a, planes, stride)
            : apply_relu(recorder, conv_bn(prefix, "2", a, {planes, {3, stride, 1}}));
    return conv_bn(prefix, "3", b, {planes * expansion(spec), pointwise}, /*initial_gamma=*/0);
  }

  /// The shortcut of a block that changes the shape.
  Normalized projection(const std::string& prefix, TensorId x, std::int64_t channels,
                        int stride) const {
    const bool averaged = has_selective_kernels(spec);
    const TensorId from = averaged ? avg_pool(recorder, x, stride) : x;
    const TensorId y = conv(recorder, prefix + (averaged ? "1" : "0"), from,
                            {channels, {1, averaged ? 1 : stride, 0}});
    return batch_norm(recorder, context, prefix + (averaged ? "2" : "1"), y);
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
      const Normalized shortcut = projection(prefix + "downsample.", x, channels, stride);
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

std::string selective_kernels_problem(const EncoderSpec& spec) {
  if (!nn::is_bottleneck(spec)) {
    return fmt::format("{} has no bottleneck blocks; use resnet50 or a deeper one", spec.name());
  }
  if (nn::channels_of(spec, 64) % kStreamChannels != 0) {
    return fmt::format(
        "at width {} a stream has {} channels, which are no multiple of {}; use a width that is a "
        "multiple of {}",
        spec.width, nn::channels_of(spec, 64), kStreamChannels, kStreamChannels / 64.0);
  }
  return "";
}

int parse_encoder_depth(const std::string& name) {
  require_known("encoder", name, known_encoders());
  return std::stoi(name.substr(std::string("resnet").size()));
}

}  // namespace simclr
