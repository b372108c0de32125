#include "nccl_environment.hpp"

#include <fmt/format.h>
#include <nccl.h>

#include <array>
#include <cstdlib>

#include "memory.hpp"

namespace simclr::cuda {

namespace {

/// Kernels of both communicators start in the host's order (from NCCL 2.26 on): communication.cpp
/// says why they must. A kernel waits for the one before to have started, which drivers can do
/// within graphs from CUDA 12.9 on, outside from 12.3; NCCL makes it wait for its end before that.
constexpr const char* kHostOrder = "NCCL_LAUNCH_ORDER_IMPLICIT";
constexpr int kOldestWithHostOrder = 22600;
constexpr int kDriverOrdersStartsInGraphs = 12090;

/// Sums in NVLink's switches (NVLS) come in an order that depends on the driver, on the memory that
/// the process has had before and on the machine, so that restarts would not repeat a run.
constexpr const char* kSwitchSums = "NCCL_NVLS_ENABLE";
/// Buffers of a captured operation are registered with its graph, which changes over how many
/// channels it is spread where switches sum (NVLS, CollNet), and what tuners are told. The steps
/// that a start runs before its graph is captured would sum in another order than replayed ones.
constexpr const char* kGraphRegister = "NCCL_GRAPH_REGISTER";

constexpr std::array<const char*, 2> kOffForExactRestarts{kSwitchSums, kGraphRegister};

std::string_view value_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : "";
}

}  // namespace

void set_nccl_environment() {
  constexpr int kUnlessSet = 0;  // whoever has set it knows better
  setenv(kHostOrder, "1", kUnlessSet);
  for (const char* variable : kOffForExactRestarts) setenv(variable, "0", kUnlessSet);
}

bool nccl_keeps_host_order() {
  int version = 0;
  return ncclGetVersion(&version) == ncclSuccess && version >= kOldestWithHostOrder &&
         value_of(kHostOrder) != "0";
}

std::vector<std::string> nccl_remarks(int driver_version) {
  std::vector<std::string> remarks;
  if (!nccl_keeps_host_order()) {
    remarks.push_back(fmt::format(
        "NCCL before 2.26, or {}=0: gradient sums do not overlap with the backward pass",
        kHostOrder));
  } else if (driver_version < kDriverOrdersStartsInGraphs) {
    remarks.push_back(fmt::format(
        "driver {}.{}: gradient sums and the collectives of ops wait for one another; from 12.9 on "
        "they would run side by side",
        driver_version / 1000, driver_version % 1000 / 10));
  }
  for (const char* variable : kOffForExactRestarts) {
    if (value_of(variable) == "0") continue;
    remarks.push_back(
        fmt::format("{}={}: a restart may not repeat the run bit for bit (0 is the default here)",
                    variable, value_of(variable)));
  }
  return remarks;
}

std::string nccl_advice(std::string_view reason) {
  const auto says = [&](std::string_view part) { return reason.find(part) != reason.npos; };
  if (says("/dev/shm")) {
    return ", which a larger /dev/shm or --cache distributed or none would help";
  }
  if (says("out of memory") || says("Failed to CUDA")) return ", " + describe_free_memory();
  return "";
}

}  // namespace simclr::cuda
