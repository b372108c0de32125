#pragma once

#include <string>

namespace simclr {

/// This machine's name, or "unknown-host".
std::string host_name();

}  // namespace simclr
