#include "resize.hpp"

#include <algorithm>
#include <cmath>

#include "simclr/augment/pixels.hpp"

namespace simclr {
namespace {

/// Weights of the consecutive inputs, from `first` on, that make one output.
struct Taps {
  int first = 0;
  std::vector<float> weights;
};

std::vector<Taps> make_taps(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);
  const double support = 2.0 * stretch;  // the cubic kernel's half-width
  std::vector<Taps> all(static_cast<std::size_t>(out));
  for (int o = 0; o < out; ++o) {
    Taps& taps = all[static_cast<std::size_t>(o)];
    const double center = scale * (o + 0.5);
    taps.first = std::max(0, static_cast<int>(std::floor(center - support + 0.5)));
    const int end = std::min(in, static_cast<int>(std::floor(center + support + 0.5)));
    double sum = 0;
    for (int i = taps.first; i < end; ++i) {
      taps.weights.push_back(cubic_filter(static_cast<float>((i - center + 0.5) / stretch)));
      sum += taps.weights.back();
    }
    for (float& weight : taps.weights) weight = static_cast<float>(weight / sum);
  }
  return all;
}

}  // namespace

std::pair<int, int> size_with_short_side(int height, int width, int short_side) {
  const std::int64_t shorter = std::min(height, width);
  const std::int64_t tall = std::int64_t{short_side} * height / shorter;
  const std::int64_t wide = std::int64_t{short_side} * width / shorter;
  require_plausible_size(tall, wide);
  return {static_cast<int>(tall), static_cast<int>(wide)};
}

Image resize_image(const Image& image, int height, int width) {
  const std::vector<Taps> columns = make_taps(image.width, width);
  std::vector<float> narrow(static_cast<std::size_t>(image.height) *
                            static_cast<std::size_t>(width) * 3);
  float* out = narrow.data();
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* row = image.pixels.data() + std::ptrdiff_t{y} * image.width * 3;
    for (const Taps& taps : columns) {
      for (int c = 0; c < 3; ++c) {
        const std::uint8_t* in = row + std::ptrdiff_t{taps.first} * 3 + c;
        float sum = 0;
        for (const float weight : taps.weights) {
          sum += weight * static_cast<float>(*in);
          in += 3;
        }
        *out++ = sum;
      }
    }
  }

  const std::size_t row_elements = static_cast<std::size_t>(width) * 3;
  Image result{height, width, {}};
  result.pixels.reserve(static_cast<std::size_t>(height) * row_elements);
  std::vector<float> sum(row_elements);
  for (const Taps& taps : make_taps(image.height, height)) {
    std::fill(sum.begin(), sum.end(), 0.0F);
    const float* in = narrow.data() + static_cast<std::size_t>(taps.first) * row_elements;
    for (const float weight : taps.weights) {
      for (std::size_t x = 0; x < row_elements; ++x) sum[x] += weight * in[x];
      in += row_elements;
    }
    for (const float value : sum) {
      result.pixels.push_back(
          static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 255.0F))));
    }
  }
  return result;
}

}  // namespace simclr
