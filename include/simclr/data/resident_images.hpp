#pragma once

#include "simclr/io/shard_set.hpp"

namespace simclr {

/// Throws RefusedError unless the set is raw images of one size: what a device can hold as it is.
void require_resident(const ShardSetInfo& info);

}  // namespace simclr
