#pragma once
// The machine that a run is planned for: what a device and its network can do, and which share of
// that the ops of this program reach. Given in a small JSON file, measured here, or a preset.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "simclr/train/device.hpp"

namespace simclr {

/// A collective among P members of b bytes takes start + hops of ceil(log2 P) + its bytes at
/// `gbytes_per_second` (collectives.hpp has the formulae).
struct Link {
  double start_us = 0;           ///< of any collective
  double hop_us = 0;             ///< for every doubling of the members
  double gbytes_per_second = 0;  ///< of one device, while all devices of the node send
};

/// What the speed of an op depends on. Zero means "whatever it is".
struct OpShape {
  std::string kind;   ///< the verb
  bool half = false;  ///< activations of 16 bits
  double in_channels = 0, out_channels = 0;
  double rows = 0;  ///< pixels of all views; elements of flat buffers
  double kernel = 0, stride = 0;
};

/// The share of the roofline that an op reaches: max(flops / peak, bytes / bandwidth) / seconds.
/// `shape.kind` may be the beginning of a verb ("conv") or empty (every op); the longest that fits
/// an op counts. Above 1 where a tensor stays in a cache.
struct Efficiency {
  OpShape shape;
  double share = 1;
};

/// Rendering of views on the host, on one core.
struct RenderingRate {
  double image_size = 0;
  bool blur = false;
  double nanoseconds_per_pixel = 0;
};

/// A device is a GPU, or the `threads` cores of a rank.
struct Machine {
  std::string name;
  std::string origin;  ///< "measured", "a preset", or a file: whence the numbers
  DeviceKind kind = DeviceKind::cpu;
  int devices_per_node = 1;
  int threads = 1;  ///< of a rank, with which the CPU was measured
  double f32_gflops = 0;
  double half_gflops = 0;  ///< 0: not native
  double memory_gbytes_per_second = 0;
  double op_start_us = 0;       ///< an op costs this beside its work
  double device_memory_gb = 0;  ///< of a GPU; 0 on a CPU, whose ranks share the node's
  double node_memory_gb = 0;    ///< 0: not known
  /// Whether gradient sums run beside the backward pass without taking time from it.
  bool overlaps_gradients = false;
  Link inside, between;  ///< nodes
  std::vector<RenderingRate> rendering;
  std::vector<Efficiency> efficiencies;
};

/// An H100 node of eight; from published and calculated figures, measured on no GPU by this
/// program.
Machine h100_machine();

/// RefusedError naming the file and the field that is missing or wrong.
Machine read_machine(const std::filesystem::path& file);
void write_machine(const std::filesystem::path& file, const Machine& machine);

struct CalibrationOptions {
  int threads = 1;           ///< of a rank
  int devices_per_node = 1;  ///< ranks that run at the same time, as they will
  bool f32 = true, half = false;
};
/// This machine's CPU: its limits, and the ops of a few small networks, each timed in its place in
/// a step. Takes about ten seconds a precision. The network between ranks is not measured.
Machine measure_machine(const CalibrationOptions& options);

/// Cores that this process may use, and the machine's memory.
int available_cores();
double total_memory_gb();

}  // namespace simclr
