#pragma once

#include <mpi.h>

#include <array>
#include <source_location>
#include <string_view>

#include "simclr/core/check.hpp"

namespace simclr {

/// Turns an MPI error code into an Error that names the call.
inline void mpi_check(int code, std::string_view call, Cause cause = Cause::error) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  fail_for(cause, "{} failed: {}", call,
           std::string_view(text.data(), static_cast<std::size_t>(length)));
}

/// True between MPI_Init and MPI_Finalize.
inline bool mpi_is_live() {
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  return initialized != 0 && finalized == 0;
}

}  // namespace simclr
