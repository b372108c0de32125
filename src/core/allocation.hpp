#pragma once
// How much memory a failed allocation asked for, which std::bad_alloc does not say.

#include <cstddef>

namespace simclr {

/// Bytes of the last call of operator new that has failed in this process; 0 if none has, and in
/// builds with sanitizers, which have their own operator new.
std::size_t last_refused_bytes();

}  // namespace simclr
