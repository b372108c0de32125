// Renders the views that a script describes, so that it can compare them with another library's.
//
//   render_cases CASES PIXELS VIEWS PARAMETERS
//
// CASES: a line each: offset height width (of an image in PIXELS, bytes), image size,
// interpolation, which kernels (position in the list of available ones; past the end means the
// slowest), then
//   given <top left height width flip jitter brightness contrast saturation hue order gray blur
//   sigma> sampled <ops> <strength> <additive> <seed> <epoch> <sample> <view> evaluation
// VIEWS receives the views, float32; PARAMETERS the parameters used, a line a case, as under
// `given`.

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "../../src/augment/view_job.hpp"
#include "simclr/augment/augmentation.hpp"
#include "simclr/augment/augmentation_parameters.hpp"
#include "simclr/core/check.hpp"

namespace {

using namespace simclr;

template <class T>
T next(std::istream& in) {
  T value{};
  if (!(in >> value)) fail("a case line is malformed");
  return value;
}

ViewParameters read_parameters(std::istream& in) {
  ViewParameters view;
  view.crop = {next<int>(in), next<int>(in), next<int>(in), next<int>(in)};
  view.flip = next<bool>(in);
  view.jitter = next<bool>(in);
  view.brightness = next<float>(in);
  view.contrast = next<float>(in);
  view.saturation = next<float>(in);
  view.hue = next<float>(in);
  const auto order = next<std::string>(in);
  for (std::size_t i = 0; i < 4; ++i) view.order[i] = static_cast<ColorOp>(order.at(i) - '0');
  view.gray = next<bool>(in);
  view.blur = next<bool>(in);
  view.sigma = next<float>(in);
  return view;
}

std::string write_parameters(const ViewParameters& view) {
  std::string order;
  for (const ColorOp op : view.order) order += static_cast<char>('0' + static_cast<int>(op));
  return fmt::format("{} {} {} {} {:d} {:d} {:.9g} {:.9g} {:.9g} {:.9g} {} {:d} {:d} {:.9g}\n",
                     view.crop.top, view.crop.left, view.crop.height, view.crop.width, view.flip,
                     view.jitter, view.brightness, view.contrast, view.saturation, view.hue, order,
                     view.gray, view.blur, view.sigma);
}

void read_configuration(std::istream& in, AugmentationConfig& config) {
  const auto ops = next<std::string>(in);
  const auto has = [&](char op) { return ops.find(op) != std::string::npos; };
  config.crop = has('c');
  config.flip = has('f');
  config.color = has('j');
  config.gray = has('g');
  config.blur = has('b');
  config.color_strength = next<double>(in);
  config.additive_brightness = next<bool>(in);
}

std::vector<float> render_case(const std::string& line, const std::vector<char>& pixels,
                               std::ostream& parameters_used) {
  std::istringstream in(line);
  const auto offset = next<std::size_t>(in);
  const auto height = next<int>(in);
  const auto width = next<int>(in);
  const ImageRef image{reinterpret_cast<const std::uint8_t*>(pixels.data()) + offset, height,
                       width};
  AugmentationConfig config = simclr_augmentation(next<int>(in));
  config.interpolation =
      next<std::string>(in) == "bicubic" ? Interpolation::bicubic : Interpolation::bilinear;
  const augment::KernelList list = augment::available_kernels();
  const int wanted = next<int>(in);
  const augment::Kernels* kernels = list.first + (wanted < list.count ? wanted : list.count - 1);

  std::vector<float> view(static_cast<std::size_t>(config.image_size * config.image_size * 3),
                          std::numeric_limits<float>::quiet_NaN());
  const BufferSpan out = buffer_span(std::span(view));
  const auto kind = next<std::string>(in);
  if (kind == "evaluation") {
    Augmenter(config, kernels).render_evaluation(image, out);
    parameters_used << '\n';
    return view;
  }
  ViewParameters parameters;
  if (kind == "given") {
    parameters = read_parameters(in);
  } else {
    read_configuration(in, config);
    const ViewKey key{next<std::uint64_t>(in), next<std::uint32_t>(in), next<std::int64_t>(in),
                      next<std::uint32_t>(in)};
    parameters = sample_view_parameters(config, key, height, width);
    Augmenter(config, kernels).render(image, key, out);
    parameters_used << write_parameters(parameters);
    return view;
  }
  Augmenter(config, kernels).render(image, parameters, out);
  parameters_used << write_parameters(parameters);
  return view;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) fail("usage: render_cases CASES PIXELS VIEWS PARAMETERS");
  std::ifstream cases(argv[1]);
  std::ifstream pixel_file(argv[2], std::ios::binary);
  const std::vector<char> pixels{std::istreambuf_iterator<char>(pixel_file), {}};
  std::ofstream views(argv[3], std::ios::binary);
  std::ofstream parameters(argv[4]);
  for (std::string line; std::getline(cases, line);) {
    const std::vector<float> view = render_case(line, pixels, parameters);
    views.write(reinterpret_cast<const char*>(view.data()),
                static_cast<std::streamsize>(view.size() * sizeof(float)));
  }
  views.close();
  parameters.close();
  if (!views || !parameters) fail("cannot write the views");
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
