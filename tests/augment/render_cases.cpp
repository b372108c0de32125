// Renders the views that a script describes, so that it can compare them with another library's.
//
//   render_cases CASES PIXELS VIEWS PARAMETERS
//
// CASES: a line each: offset height width (of an image in PIXELS, bytes), image size,
// interpolation, semantics, whether brightness is added, color strength, which kernels (position in
// the list of available ones; past the end means the slowest), then one of
//   given <parameters>
//   sampled <operations> <seed> <epoch> <sample> <view>
//   evaluation
// Parameters: whether there is a base; its box; operations; crop; brightness contrast saturation
// hue order; sigma; cutout; quarter turns; sigma seed purpose a b of the noise; threshold. A box is
// top left height width; operations are a list like that of --augment.
// VIEWS receives the views, float32; PARAMETERS the parameters used, a line a case.

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
#include "simclr/core/option_values.hpp"

namespace {

using namespace simclr;

template <class T>
T next(std::istream& in) {
  T value{};
  if (!(in >> value)) fail("a case line is malformed");
  return value;
}

CropBox read_box(std::istream& in) {
  CropBox box;
  box.top = next<int>(in);
  box.left = next<int>(in);
  box.height = next<int>(in);
  box.width = next<int>(in);
  return box;
}

AugmentationList read_list(std::istream& in) {
  std::vector<std::string> items;
  const auto text = next<std::string>(in);
  if (!read_value(text, items, any_number())) fail("not a list: {}", text);
  AugmentationList list;
  const std::string problem = read_augmentation_list(items, list);
  if (!problem.empty()) fail("{}: {}", text, problem);
  return list;
}

ViewParameters read_parameters(std::istream& in) {
  ViewParameters view;
  view.has_base = next<bool>(in);
  view.base = read_box(in);
  for (const OpChance& chance : read_list(in)) view.add(chance.op);
  view.crop = read_box(in);
  view.brightness = next<float>(in);
  view.contrast = next<float>(in);
  view.saturation = next<float>(in);
  view.hue = next<float>(in);
  const auto order = next<std::string>(in);
  for (std::size_t i = 0; i < 4; ++i) view.order[i] = static_cast<ColorOp>(order.at(i) - '0');
  view.sigma = next<float>(in);
  view.cutout = read_box(in);
  view.quarter_turns = next<int>(in);
  view.noise_sigma = next<float>(in);
  view.noise.seed = next<std::uint64_t>(in);
  view.noise.purpose = next<std::uint32_t>(in);
  view.noise.a = next<std::uint32_t>(in);
  view.noise.b = next<std::uint32_t>(in);
  view.threshold = next<float>(in);
  return view;
}

std::string text_of(const CropBox& box) {
  return fmt::format("{} {} {} {}", box.top, box.left, box.height, box.width);
}

std::string write_parameters(const ViewParameters& view) {
  std::string order;
  for (const ColorOp op : view.order) order += static_cast<char>('0' + static_cast<int>(op));
  std::string ops;
  for (int i = 0; i < view.op_count; ++i) {
    ops += fmt::format("{}{}", i == 0 ? "" : ",", name_of(view.ops[i]));
  }
  return fmt::format(
      "{:d} {} {} {} {:.9g} {:.9g} {:.9g} {:.9g} {} {:.9g} {} {} {:.9g} {} {} {} {} {:.9g}\n",
      view.has_base, text_of(view.base), ops.empty() ? "none" : ops, text_of(view.crop),
      view.brightness, view.contrast, view.saturation, view.hue, order, view.sigma,
      text_of(view.cutout), view.quarter_turns, view.noise_sigma, view.noise.seed,
      view.noise.purpose, view.noise.a, view.noise.b, view.threshold);
}

AugmentSemantics read_semantics(std::istream& in) {
  const auto name = next<std::string>(in);
  if (name == "tf-v1") return AugmentSemantics::tf_v1;
  return name == "tf-v2" ? AugmentSemantics::tf_v2 : AugmentSemantics::torchvision;
}

std::vector<float> render_case(const std::string& line, const std::vector<char>& pixels,
                               std::ostream& parameters_used) {
  std::istringstream in(line);
  const auto offset = next<std::size_t>(in);
  const auto height = next<int>(in);
  const auto width = next<int>(in);
  const ImageRef image{reinterpret_cast<const std::uint8_t*>(pixels.data()) + offset, height,
                       width};
  AugmentationConfig config{.image_size = next<int>(in)};
  config.interpolation =
      next<std::string>(in) == "bicubic" ? Interpolation::bicubic : Interpolation::bilinear;
  config.semantics = read_semantics(in);
  config.additive_brightness = next<bool>(in);
  config.color_strength = next<double>(in);
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
    config.ops = read_list(in);
    const ViewKey key{next<std::uint64_t>(in), next<std::uint32_t>(in), next<std::int64_t>(in),
                      next<std::uint32_t>(in)};  // braces read in this order
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
