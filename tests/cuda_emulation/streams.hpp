#pragma once
// Streams execute at once; while one captures, work is recorded into a graph instead.

#include <chrono>
#include <functional>
#include <vector>

namespace emulation {

using Work = std::function<void()>;

struct Graph {
  std::vector<Work> work;
};
struct Stream {
  Graph* capturing = nullptr;
};
struct Event {
  std::chrono::steady_clock::time_point time;
  Graph* captured_in = nullptr;  ///< where it was recorded while a stream captured
};

/// Runs the work, or records it. Null is the default stream.
void enqueue(Stream* stream, Work work);

}  // namespace emulation
