#pragma once

#include <cstdint>
#include <functional>

namespace simclr {

/// Splits [0, count) into one contiguous range per thread and calls work(begin, end) on each; the
/// caller's thread takes the first. Rethrows the first exception after all threads have ended.
void parallel_ranges(int threads, std::int64_t count,
                     const std::function<void(std::int64_t begin, std::int64_t end)>& work);

}  // namespace simclr
