#pragma once

#include "simclr/comm/watchdog.hpp"

namespace simclr::watch {

/// Reports the fault and ends the job: message, handler, MPI_Abort. Whatever of that hangs (MPI
/// with a node gone, the handler's file system, a full pipe), this process ends within seconds.
[[noreturn]] void end_job(const Fault& fault, const Watchdog::Handler& on_fault);

/// For a rank that was told to end: another one is ending the job by MPI, and may hang at that.
[[noreturn]] void end_this_process_soon();

}  // namespace simclr::watch
