#pragma once

#include <functional>

#include "simclr/comm/watchdog.hpp"

namespace simclr::watch {

/// Reports the fault and ends the job: message, handler, `tell_others`, MPI_Abort. The handler is
/// done before anything ends another rank: launchers kill all ranks, this one too, within a second
/// of the first that ends. Whatever of that hangs (MPI with a node gone, the handler's file system,
/// a full pipe), this process ends within half a minute.
[[noreturn]] void end_job(const Fault& fault, const Watchdog::Handler& on_fault,
                          const std::function<void()>& tell_others = {});

/// For a rank that was told to end: another one is ending the job by MPI, and may hang at that.
[[noreturn]] void end_this_process_soon();

}  // namespace simclr::watch
