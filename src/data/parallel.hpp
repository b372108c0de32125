#pragma once

#include <cstdint>
#include <functional>

namespace simclr {

/// Splits [0, count) into one contiguous range a thread and calls work(begin, end) on each; the
/// caller's thread takes the first. The first exception is rethrown once all have ended.
void parallel_ranges(int threads, std::int64_t count,
                     const std::function<void(std::int64_t begin, std::int64_t end)>& work);

}  // namespace simclr
