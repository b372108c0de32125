#pragma once
// Which engines may compute a convolution, and with what knobs.

#include <optional>
#include <string>
#include <vector>

#include "../engine_choice.hpp"
#include "convolution_graph.hpp"
#include "descriptor.hpp"

namespace simclr::cuda::cudnn {

/// An engine with its knobs set: what an execution plan is made of.
struct EngineConfig {
  EngineChoice choice;
  Descriptor descriptor;
};

/// What cuDNN proposes for the graph and we admit (see numerical notes in the source), the likely
/// fastest first, none twice.
std::vector<EngineConfig> propose_engine_configs(const ConvolutionGraph& graph);

/// The configuration that `choice` names. Throws Error saying why where cuDNN does not accept it
/// or we do not admit it.
EngineConfig make_engine_config(const ConvolutionGraph& graph, const EngineChoice& choice);

}  // namespace simclr::cuda::cudnn
