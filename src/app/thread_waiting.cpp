#include "thread_waiting.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace simclr {
namespace {

/// Number of spins before a waiting thread sleeps, about 20 microseconds: longer than most gaps
/// between the parallel regions of a step, shorter than the milliseconds for which a busy machine
/// takes a core away. GNU's default is 300 times as long; waiting threads then occupy the cores
/// that the threads they wait for need.
constexpr const char* kSpinCount = "1000";

}  // namespace

void bound_spinning(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  std::error_code unknown;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (unknown || ::setenv("GOMP_SPINCOUNT", kSpinCount, 1) != 0) return;
  ::execv(program.c_str(),
          argv);  // returns only if it fails; the program then continues without the bound
}

}  // namespace simclr
