#pragma once
// How each op becomes a step on the GPU. A step enqueues on the compute lane and never waits; the
// workspace is aligned to 256 bytes.

#include "../steps.hpp"
#include "device.hpp"
#include "layout.hpp"

namespace simclr::cuda {

struct Context : PrepareContext<layout_of> {
  Device& device;

  [[nodiscard]] cudaStream_t stream() const { return device.lanes().compute.get(); }
};
using TensorView = Context::View;

#define SIMCLR_VERB(Verb) Prepared prepare(const Verb& op, const Context& context);
#include "simclr/program/verbs.def"

/// Where in the workspace the convolution that is the op before has left plain sums f32 (2, stride)
/// of y and y^2, bytes; empty where a pass over y is to make them. It is the one case in which
/// contents of the workspace are meant for the next step.
std::optional<std::size_t> sums_taken_along(const BnStatistics& op, const Context& context);

/// What that pass does: stats f64 (G,2,C) = the sums of (y - shift) and of its square.
void bn_statistics(const Layout& y_layout, const BnGroups& groups, const std::byte* y,
                   const float* shift, std::byte* workspace, double* stats, cudaStream_t stream);
std::size_t bn_statistics_bytes(const Layout& y_layout, const BnGroups& groups);

/// Chooses the algorithms of the program's convolutions; see Backend::tune().
void tune_convolutions(const Program& program, Device& device);

/// Runs steps on the device's compute lane, from graphs where a range comes again.
std::unique_ptr<Runner> make_runner(std::vector<Prepared> steps, std::vector<std::string> names,
                                    Workspace workspace, Device& device);

}  // namespace simclr::cuda
