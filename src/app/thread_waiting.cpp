#include "thread_waiting.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace simclr {
namespace {

/// Pauses of the processor, some 20 microseconds in all: longer than most gaps between the parallel
/// regions of a step, shorter than the milliseconds for which a busy machine takes a core away.
/// GNU's runtime makes 300 times as many by default, and threads that wait then keep the cores from
/// those that they wait for.
constexpr const char* kSpinCount = "1000";

}  // namespace

void bound_spinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  std::error_code unknown;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (unknown || ::setenv("GOMP_SPINCOUNT", kSpinCount, 1) != 0) return;
  ::execv(program.c_str(), argv);  // returns only where it fails: the program then goes on as it is
}

}  // namespace simclr
