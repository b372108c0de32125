#pragma once
// Where a command computes and how precisely: its options, and the backend they mean.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "simclr/backend/backend.hpp"
#include "simclr/backend/registry.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/comm/watchdog.hpp"
#include "simclr/core/options.hpp"

namespace simclr {

enum class DeviceChoice : std::uint8_t { automatic, cpu, cuda };
/// Of the activations. `automatic` is bf16 on a GPU and fp32 on the CPU.
enum class Precision : std::uint8_t { automatic, fp32, bf16, fp16 };

struct DeviceOptions {
  DeviceChoice choice = DeviceChoice::automatic;
  int threads = 0;  ///< 0: the cores this rank may use
  bool allow_tf32 = false;
  /// Measured convolution plans; unset: a file in the user's cache directory; "none": not kept.
  std::optional<std::filesystem::path> plan_cache;
  Precision precision = Precision::automatic;
  bool allow_slow_bf16 = false;
  // several ranks
  Collectives collectives = Collectives::automatic;
  bool share_device = false;
  double timeout_seconds = 600;
};

/// --device, --plan-cache.
void declare_device_choice(Options& options, DeviceOptions& device);
/// The same, --threads, --allow-tf32.
void declare_device_options(Options& options, DeviceOptions& device);
/// --precision, --allow-slow-bf16.
void declare_precision_options(Options& options, DeviceOptions& device);
/// --collectives, --share-device, --timeout-seconds.
void declare_rank_options(Options& options, DeviceOptions& device);

/// Watches over the ranks of this job by --timeout-seconds. Collective.
Watchdog watch_ranks(const DeviceOptions& device, Communicator& world,
                     const Watchdog::Handler& on_fault = {});

/// Compute threads of this rank. Collective.
int compute_threads(const DeviceOptions& device, Communicator& world);

/// The same kind of backend on all ranks: `automatic` is CUDA where every rank has a GPU, else the
/// CPU with `threads` threads. Throws RefusedError on every rank where CUDA is asked for and one of
/// them has none. Collective.
std::unique_ptr<Backend> make_backend(const DeviceOptions& device, int threads,
                                      Communicator& world);

/// Says in the log when `automatic` has come to the CPU, and why; for when work begins.
void report_device(const DeviceOptions& device, const Backend& backend);

/// What `device.precision` means on this backend; never automatic. Refuses fp16 on the CPU, and
/// bf16 where the CPU would emulate it.
Precision resolve_precision(const DeviceOptions& device, const Backend& backend);

enum class DeviceKind : std::uint8_t { cpu, cuda };
/// The same on a machine that is only described.
Precision resolve_precision(const DeviceOptions& device, DeviceKind kind, bool native_bf16);

/// The same for a run that need not be able to run here: refuses nothing; `automatic` is what it
/// means on the device that is asked for, or that make_backend() would take. Collective.
Precision intended_precision(const DeviceOptions& device, Communicator& world);

/// The type of activations in a (resolved) precision.
DType activation_type(Precision precision);

}  // namespace simclr
