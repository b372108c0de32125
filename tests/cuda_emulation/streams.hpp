#pragma once
// Streams execute at once; while one captures, work is recorded into a graph instead.
//
// With SIMCLR_EMULATED_LATE_STREAMS = all, even or odd those streams (in the order in which they
// were made, from 0) execute as late as they may: when the host or another stream waits for them.
// What lacks a wait then finds memory as it was before.

#include <chrono>
#include <deque>
#include <functional>
#include <vector>

namespace emulation {

using Work = std::function<void()>;

struct Stream;

struct Graph {
  std::vector<Work> work;
  const Stream* origin = nullptr;  ///< where the capture began and ends
  bool invalid = false;            ///< something was done that a capture does not allow
};
struct Stream {
  Graph* capturing = nullptr;
  bool late = false;
  std::deque<Work> queue;    ///< of a late stream
  std::size_t enqueued = 0;  ///< work items so far
  std::size_t executed = 0;  ///< of these
  bool unjoined = false;     ///< drawn into a capture, whose origin does not wait for its last work
};
struct Event {
  std::chrono::steady_clock::time_point time;
  Graph* captured_in = nullptr;  ///< where it was recorded while a stream captured
  Stream* recorded_on = nullptr;
  std::size_t work_before = 0;  ///< in the graph, else on the stream
};

/// Runs the work, or records it. Null is the default stream.
void enqueue(Stream* stream, Work work);

/// How many graphs have been launched in this process.
std::size_t graph_launches();
/// While true, streams never finish what they hold, as when another rank does not answer.
void hang_streams(bool hang);
/// From now on they do not even begin what comes, until hang_streams(false).
void stop_streams();
/// While true, there is no memory for executable graphs.
void refuse_graphs(bool refuse);
/// While true, there is no page-locked host memory.
void refuse_pinned_memory(bool refuse);

}  // namespace emulation
