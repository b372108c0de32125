#pragma once

#include <functional>

#include "simclr/comm/watchdog.hpp"

namespace simclr::watch {

/// Logs the fault, calls the handler and `tell_others`, then ends the job with MPI_Abort. The
/// handler runs before any rank ends, because launchers kill all ranks within a second of the first
/// that ends. This process ends within half a minute even if one of the steps hangs (MPI without a
/// node, the handler's file system, a full pipe).
[[noreturn]] void end_job(const Fault& fault, const Watchdog::Handler& on_fault,
                          const std::function<void()>& tell_others = {});

/// Called when another rank is ending the job with MPI_Abort: gives it some seconds, then exits in
/// case that rank hangs.
[[noreturn]] void end_this_process_soon();

}  // namespace simclr::watch
