#include "architecture.hpp"

#include <algorithm>
#include <cmath>

#include "simclr/core/check.hpp"
#include "simclr/core/names.hpp"

namespace simclr {
namespace nn {
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

}  // namespace nn

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
