#pragma once
// The options that choose device and precision, and the backend made from them.

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
/// Number type of the activations. `automatic` is bf16 on a GPU and fp32 on the CPU.
enum class Precision : std::uint8_t { automatic, fp32, bf16, fp16 };

struct DeviceOptions {
  DeviceChoice choice = DeviceChoice::automatic;
  int threads = 0;  ///< 0: as many as the cores this rank may use
  bool allow_tf32 = false;
  /// File of measured convolution plans; unset: in the user's cache directory; "none": no file.
  std::optional<std::filesystem::path> plan_cache;
  Precision precision = Precision::automatic;
  bool allow_slow_bf16 = false;
  // several ranks
  Collectives collectives = Collectives::automatic;
  bool share_device = false;
  double timeout_seconds = 600;
};

/// Declares --device, --plan-cache, --threads and --allow-tf32.
void declare_device_options(Options& options, DeviceOptions& device);
/// Declares --precision and --allow-slow-bf16.
void declare_precision_options(Options& options, DeviceOptions& device);
/// Declares --collectives, --share-device and --timeout-seconds.
void declare_rank_options(Options& options, DeviceOptions& device);

/// Starts the watchdog of this job's ranks, with --timeout-seconds. Collective.
Watchdog watch_ranks(const DeviceOptions& device, Communicator& world,
                     const Watchdog::Handler& on_fault = {});

/// Number of compute threads of this rank. Collective.
int compute_threads(const DeviceOptions& device, Communicator& world);

/// More than any machine has cores: refuses typing errors before the system refuses threads.
inline constexpr int kMostThreads = 4096;

/// Makes the same kind of backend on all ranks: for `automatic`, CUDA if every rank has a GPU, else
/// the CPU with `threads` threads. Throws RefusedError on every rank if CUDA was requested and a
/// rank has no GPU. Collective.
std::unique_ptr<Backend> make_backend(const DeviceOptions& device, int threads,
                                      Communicator& world);

/// Logs why `automatic` chose the CPU, if it did. Call it when work begins.
void report_device(const DeviceOptions& device, const Backend& backend);

/// Returns what `device.precision` means on this backend, never `automatic`. Refuses fp16 on the
/// CPU, and bf16 on a CPU that would emulate it.
Precision resolve_precision(const DeviceOptions& device, const Backend& backend);

enum class DeviceKind : std::uint8_t { cpu, cuda };
/// The same for a machine that is only described.
Precision resolve_precision(const DeviceOptions& device, DeviceKind kind, bool native_bf16);

/// The same without refusing anything, for a run that will compute elsewhere: `automatic` follows
/// the requested device, or the one that make_backend() would choose. Collective.
Precision intended_precision(const DeviceOptions& device, Communicator& world);

/// The data type of activations in a resolved precision.
DType activation_type(Precision precision);

}  // namespace simclr
