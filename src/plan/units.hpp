#pragma once

namespace simclr::plan {

inline constexpr double kMega = 1e6;
inline constexpr double kGiga = 1e9;
inline constexpr double kSecondsPerMinute = 60;

}  // namespace simclr::plan
