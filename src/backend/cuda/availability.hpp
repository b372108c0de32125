#pragma once
// What the registry asks of the CUDA backend.

#include <memory>
#include <string>

#include "simclr/backend/registry.hpp"

namespace simclr::cuda {

/// "" where a device can be used; else what is wrong and what to do.
std::string why_no_device();

std::unique_ptr<Backend> make_backend(const CudaOptions& options);

}  // namespace simclr::cuda
