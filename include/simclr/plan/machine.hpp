#pragma once
// The machine that a run is planned for: the limits of a device and its network, and the share of
// them that the ops of this program reach. It comes from a JSON file, a measurement or a preset.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "simclr/train/device.hpp"

namespace simclr {

/// A network link. A collective among P members takes start_us, hop_us times ceil(log2 P), and the
/// time of its bytes at `gbytes_per_second`; src/plan/step_model.hpp has the formulas.
struct Link {
  double start_us = 0;           ///< for any collective
  double hop_us = 0;             ///< for every doubling of the members
  double gbytes_per_second = 0;  ///< per device, while all devices of the node send
};

/// The properties on which the speed of an op depends. Zero means any value.
struct OpShape {
  std::string kind;   ///< the verb
  bool half = false;  ///< 16-bit activations
  double in_channels = 0, out_channels = 0;
  double rows = 0;  ///< pixels of all views; elements of flat buffers
  double kernel = 0, stride = 0;
};

/// The share of the roofline that an op reaches: max(flops / peak, bytes / bandwidth) / seconds. It
/// exceeds 1 when a tensor stays in a cache. `shape.kind` may be the beginning of a verb ("conv")
/// or empty (every op); the longest matching one applies.
struct Efficiency {
  OpShape shape;
  double share = 1;
};

/// Speed of rendering views on one core of the host.
struct RenderingRate {
  double image_size = 0;
  bool blur = false;
  double nanoseconds_per_pixel = 0;
};

/// A device is a GPU, or the `threads` cores of a rank.
struct Machine {
  std::string name;
  std::string origin;  ///< source of the numbers: a measurement, a preset or a file
  DeviceKind kind = DeviceKind::cpu;
  int devices_per_node = 1;
  int threads = 1;  ///< threads per rank in the measurement of a CPU
  double f32_gflops = 0;
  double half_gflops = 0;  ///< 0: not native
  double memory_gbytes_per_second = 0;
  double op_start_us = 0;       ///< constant cost of an op
  double device_memory_gb = 0;  ///< 0 on a CPU, whose ranks share the node's memory
  double node_memory_gb = 0;    ///< 0: unknown
  /// True when gradient sums run beside the backward pass without slowing it down.
  bool overlaps_gradients = false;
  /// Times lie between the predicted ones and those with ops this many times slower. 1: measured.
  double slowdown = 1;
  Link inside, between;  ///< inside a node and between nodes
  std::vector<RenderingRate> rendering;
  std::vector<Efficiency> efficiencies;
};

/// A node with eight H100, from published and calculated figures; not measured by this program.
Machine h100_machine();

/// Throws RefusedError naming the file and the field that is missing or wrong.
Machine read_machine(const std::filesystem::path& file);
void write_machine(const std::filesystem::path& file, const Machine& machine);

/// What a measurement takes on two slow, idle cores, for each precision.
inline constexpr int kIdleMeasuringSeconds = 10;
/// A measurement takes no longer, however busy the machine is.
inline constexpr double kMostMeasuringSeconds = 18;

struct CalibrationOptions {
  int threads = 1;           ///< threads per rank
  int devices_per_node = 1;  ///< number of ranks that the measurement runs at the same time
  bool f32 = true, half = false;
  double seconds = kMostMeasuringSeconds;  ///< ends the measurement with what it has by then
  std::function<double()> clock{};         ///< seconds; if empty, of the steady clock
};
struct MeasuredMachine {
  Machine machine;
  std::vector<std::string> warnings;  ///< why its speeds are uncertain
};
/// Measures this machine's CPU: its limits, and the ops of a few small networks, each timed at its
/// position in a step. When the time is up, ops have been timed less often, or not at all. Does not
/// measure the network between ranks.
MeasuredMachine measure_machine(const CalibrationOptions& options);

}  // namespace simclr
