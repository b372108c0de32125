#pragma once
// The fastest of the engines for a shape, by trying them.

#include <memory>

#include "../device.hpp"
#include "engine_plan.hpp"

namespace simclr::cuda::cudnn {

/// Times the candidates on buffers of its own, which are freed again; null where no admitted engine
/// computes the shape. Logs what it finds.
std::unique_ptr<EnginePlan> measure_engines(const std::shared_ptr<const ConvolutionGraph>& graph,
                                            Device& device);

}  // namespace simclr::cuda::cudnn
