#pragma once
// cuDNN's descriptors and attributes by name, for errors.

#include <cudnn_graph.h>

#include <string>

namespace simclr::cuda::cudnn {

/// As the header spells them; a number for those that we do not use.
std::string name_of(cudnnBackendDescriptorType_t type);
std::string name_of(cudnnBackendAttributeName_t attribute);

}  // namespace simclr::cuda::cudnn
