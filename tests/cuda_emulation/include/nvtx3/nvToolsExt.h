#pragma once
// Nobody looks on: ranges on a profiler's time line are dropped.

inline int nvtxRangePushA(const char* /*message*/) { return 0; }
inline int nvtxRangePop() { return 0; }
