#include "simclr/comm/session.hpp"

#include <mpi.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

#include "mpi_check.hpp"

namespace simclr {
namespace {

/// A communicator for all_ranks_arrive() alone, so that messages in flight elsewhere cannot disturb
/// it.
MPI_Comm& arrival_comm() {
  static MPI_Comm comm = MPI_COMM_NULL;
  return comm;
}

}  // namespace

MpiSession::MpiSession(int& argc, char**& argv) : uncaught_(std::uncaught_exceptions()) {
  int provided = MPI_THREAD_SINGLE;
  mpi_check(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  mpi_check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  if (provided < MPI_THREAD_MULTIPLE) {
    refuse(
        "this MPI library does not provide MPI_THREAD_MULTIPLE, which the loader's threads need; "
        "use an MPI built with thread support");
  }
  mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &arrival_comm()), "MPI_Comm_dup");
}

MpiSession::~MpiSession() {
  if (std::uncaught_exceptions() > uncaught_ || !mpi_is_live()) return;
  if (arrival_comm() != MPI_COMM_NULL) MPI_Comm_free(&arrival_comm());
  MPI_Finalize();
}

bool all_ranks_arrive(double seconds) {
  if (!mpi_is_live() || arrival_comm() == MPI_COMM_NULL) return true;
  MPI_Request request = MPI_REQUEST_NULL;
  if (MPI_Ibarrier(arrival_comm(), &request) != MPI_SUCCESS) return false;
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration<double>(seconds);
  int done = 0;
  while (MPI_Test(&request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done == 0 &&
         Clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return done != 0;
}

std::string mpi_library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  mpi_check(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  const std::string version(text.data(), static_cast<std::size_t>(length));
  return version.substr(0, std::min(version.find('\n'), version.find('\0')));
}

void abort_all_ranks(int exit_code) {
  std::fflush(nullptr);
  if (mpi_is_live()) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace simclr
