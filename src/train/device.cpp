#include "simclr/train/device.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "simclr/comm/session.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/train/system_info.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

/// The user's cache directory by the XDG base directory specification; empty if $HOME is unset.
fs::path user_cache() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && fs::path(cache).is_absolute()) return cache;
  const char* home = std::getenv("HOME");
  return home != nullptr && *home != '\0' ? fs::path(home) / ".cache" : fs::path();
}

/// Seconds a GPU's own time limit adds to --timeout-seconds: the watchdog, which can name the late
/// rank, ends the job first.
constexpr double kGpuExtraSeconds = 60;

fs::path plan_cache_file(const DeviceOptions& device) {
  if (device.plan_cache) return *device.plan_cache == "none" ? fs::path() : *device.plan_cache;
  const fs::path cache = user_cache();
  return cache.empty() ? fs::path() : cache / "simclr" / "convolution-plans.json";
}

bool use_cuda(const DeviceOptions& device, Communicator& world) {
  if (device.choice == DeviceChoice::cpu) return false;
  const std::string why_not = first_text(world, why_no_cuda());
  if (why_not.empty()) return true;
  if (device.choice == DeviceChoice::cuda) refuse("option --device: cuda: {}", why_not);
  return false;
}

}  // namespace

void declare_device_options(Options& options, DeviceOptions& device) {
  options
      .choice<DeviceChoice>("device", device.choice,
                            {{"auto", DeviceChoice::automatic},
                             {"cpu", DeviceChoice::cpu},
                             {"cuda", DeviceChoice::cuda}},
                            "where to compute. auto: on GPUs if every rank has one, else on the "
                            "CPU; cuda: on GPUs or not at all")
      .may_change_on_resume()
      .add("plan-cache", device.plan_cache,
           "file that keeps the measured choice of convolution algorithms on a GPU; none: no "
           "file; unset: ~/.cache/simclr/convolution-plans.json")
      .may_change_on_resume()
      .may_differ_between_ranks()
      .add("threads", device.threads,
           "threads of each rank that compute; 0: as many as the cores it may use")
      .range(at_least(0).at_most(kMostThreads))
      .may_change_on_resume()
      .may_differ_between_ranks()
      .flag("allow-tf32", device.allow_tf32,
            "multiply fp32 matrices on a GPU with 10 bits of mantissa: faster, less exact");
}

void declare_precision_options(Options& options, DeviceOptions& device) {
  options
      .choice<Precision>("precision", device.precision,
                         {{"auto", Precision::automatic},
                          {"fp32", Precision::fp32},
                          {"bf16", Precision::bf16},
                          {"fp16", Precision::fp16}},
                         "number type of the activations; weights, statistics and loss stay fp32. "
                         "auto: bf16 on a GPU, fp32 on the CPU; fp16: on a GPU only")
      .flag("allow-slow-bf16", device.allow_slow_bf16,
            "accept bf16 on a CPU that has AVX-512, but no instructions for bf16, and emulates it "
            "slowly")
      .may_change_on_resume();
}

void declare_rank_options(Options& options, DeviceOptions& device) {
  options
      .choice<Collectives>("collectives", device.collectives,
                           {{"auto", Collectives::automatic},
                            {"nccl", Collectives::nccl},
                            {"mpi", Collectives::mpi}},
                           "how GPUs exchange data. nccl: between the GPUs; mpi: through host "
                           "memory; auto: nccl, or mpi where ranks share a GPU")
      .may_change_on_resume()
      .flag("share-device", device.share_device, "let several ranks of a node use the same GPU")
      .may_change_on_resume()
      .add("timeout-seconds", device.timeout_seconds,
           "seconds without progress after which the job is ended; a rank that does not answer "
           "at all has 20 seconds at most")
      .range(above(0))
      .may_change_on_resume();
}

Watchdog watch_ranks(const DeviceOptions& device, Communicator& world,
                     const Watchdog::Handler& on_fault) {
  constexpr double kMostSilence = 20;
  const double timeout = device.timeout_seconds;
  return {world,
          {.timeout_seconds = timeout, .silence_seconds = std::min(timeout, kMostSilence)},
          on_fault};
}

int compute_threads(const DeviceOptions& device, Communicator& world) {
  return device.threads > 0 ? device.threads : default_threads(world);
}

std::unique_ptr<Backend> make_backend(const DeviceOptions& device, int threads,
                                      Communicator& world) {
  if (!use_cuda(device, world)) return make_cpu_backend(threads);
  const NodePlace place = node_place(world);
  return make_cuda_backend({.local_rank = place.rank,
                            .local_ranks = place.ranks,
                            .share_device = device.share_device,
                            .collectives = device.collectives,
                            .allow_tf32 = device.allow_tf32,
                            .timeout_seconds = device.timeout_seconds + kGpuExtraSeconds,
                            .plan_cache = plan_cache_file(device)});
}

void report_device(const DeviceOptions& device, const Backend& backend) {
  if (device.choice != DeviceChoice::automatic || backend.info().name != "cpu") return;
  static bool reported = false;  // fine-tuning also measures its model
  if (std::exchange(reported, true)) return;
  const std::string why_not = why_no_cuda();
  log::info("--device auto: computing on the CPU: {}",
            why_not.empty() ? "another rank has no GPU" : why_not);
}

Precision resolve_precision(const DeviceOptions& device, const Backend& backend) {
  const DeviceKind kind = backend.info().name == "cpu" ? DeviceKind::cpu : DeviceKind::cuda;
  return resolve_precision(device, kind, cpu_has_native_bf16());
}

Precision resolve_precision(const DeviceOptions& device, DeviceKind kind, bool native_bf16) {
  const bool on_cpu = kind == DeviceKind::cpu;
  if (device.precision == Precision::automatic) return on_cpu ? Precision::fp32 : Precision::bf16;
  if (on_cpu && device.precision == Precision::fp16) {
    refuse("option --precision: fp16 needs a GPU; on the CPU use fp32 or bf16");
  }
  if (on_cpu && device.precision == Precision::bf16 && !device.allow_slow_bf16 && !native_bf16) {
    refuse(
        "option --precision: bf16: this CPU has no native bf16 (avx512_bf16) and would emulate it "
        "slowly; use fp32, or with AVX-512 --allow-slow-bf16 to insist");
  }
  return device.precision;
}

Precision intended_precision(const DeviceOptions& device, Communicator& world) {
  if (device.precision != Precision::automatic) return device.precision;
  const bool cuda = device.choice == DeviceChoice::cuda || use_cuda(device, world);
  return resolve_precision(device, cuda ? DeviceKind::cuda : DeviceKind::cpu, false);
}

DType activation_type(Precision precision) {
  switch (precision) {
    case Precision::automatic:
      break;
    case Precision::fp32:
      return DType::f32;
    case Precision::bf16:
      return DType::bf16;
    case Precision::fp16:
      return DType::f16;
  }
  fail("internal error: the precision is still automatic; resolve_precision() was not called");
}

}  // namespace simclr
