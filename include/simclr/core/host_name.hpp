#pragma once

#include <string>

namespace simclr {

/// This machine's name; "unknown-host" where it has none.
std::string host_name();

}  // namespace simclr
