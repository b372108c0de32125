#include <fmt/format.h>

#include "convolution_plan.hpp"
#include "simclr/core/check.hpp"

namespace simclr::cuda {

namespace {

std::string_view name_of(ConvolutionKind kind) {
  switch (kind) {
    case ConvolutionKind::forward:
      return "forward";
    case ConvolutionKind::backward_data:
      return "backward_data";
    case ConvolutionKind::backward_weights:
      return "backward_weights";
  }
  fail("no such kind of convolution");
}

}  // namespace

std::string ConvolutionShape::text() const {
  std::string text =
      fmt::format("{} {} {}x{}x{}x{} -> {}x{}x{}, {}x{} stride {} padding {}", name_of(kind),
                  simclr::name_of(dtype), images, height, width, in_channels, out_height, out_width,
                  out_channels, kernel, kernel, stride, padding);
  if (kind == ConvolutionKind::backward_weights) {
    text += fmt::format(", dw {}", simclr::name_of(gradient_dtype));
  }
  if (dtype == DType::f32 && allow_tf32) text += ", tf32";
  if (with_statistics) text += ", with statistics";
  return text;
}

}  // namespace simclr::cuda
