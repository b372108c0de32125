// Convolution plans of cuDNN.

#include "../convolution_plan.hpp"

#include "../device.hpp"
#include "engine_plan.hpp"

namespace simclr::cuda {

std::unique_ptr<ConvolutionPlan> make_convolution_plan(const ConvolutionShape& shape,
                                                       const std::string& choice, Device& device) {
  const auto parsed = EngineChoice::parse(choice);
  if (!parsed) fail("\"{}\" names no engine of cuDNN", choice);
  Libraries::Handles& handles = device.libraries().handles();
  const auto graph = std::make_shared<const cudnn::ConvolutionGraph>(
      shape, cudnn::Target{.handle = handles.cudnn});
  return std::make_unique<cudnn::EnginePlan>(graph, cudnn::make_engine_config(*graph, *parsed),
                                             &handles);
}

}  // namespace simclr::cuda
