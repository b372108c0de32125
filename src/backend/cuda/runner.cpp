// A range of steps runs one by one the first time, when libraries load and connect what they need;
// is captured the second time; and is replayed from then on. Maximal runs of capturable steps
// become graphs, the others run between them. Single steps are never captured: they are for
// looking at.

#include "steps.hpp"

#include <nvtx3/nvToolsExt.h>

#include <map>
#include <utility>

#include "runtime.hpp"
#include "simclr/core/activity.hpp"

namespace simclr::cuda {

namespace {

/// A named range on the profiler's time line.
class Marked {
 public:
  explicit Marked(const std::string& name) { nvtxRangePushA(name.c_str()); }
  Marked(const Marked&) = delete;
  Marked& operator=(const Marked&) = delete;
  ~Marked() { nvtxRangePop(); }
};

/// Steps [begin, end): a graph, or one step that cannot be part of one.
struct Segment {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string name;
  GraphExec graph;
};

/// What is known of a range that was asked for.
struct Range {
  bool ran = false;
  std::vector<Segment> segments;  ///< once captured
};

class CudaRunner final : public Runner {
 public:
  CudaRunner(std::vector<Prepared> steps, std::vector<std::string> names, Workspace workspace,
             Device& device)
      : steps_(std::move(steps)),
        workspace_(workspace),
        names_(std::make_shared<const std::vector<std::string>>(std::move(names))),
        device_(device) {
    require(names_->size() == steps_.size(), "each step has a name");
  }

  void run(std::size_t begin, std::size_t end) override {
    require(begin <= end && end <= steps_.size(), "steps to run exist");
    Range& range = ranges_[{begin, end}];
    if (end - begin <= 1 || !range.ran) {
      for (std::size_t i = begin; i < end; ++i) run_step(i);
      device_.watch().clear_marks(device_.stream(Lane::compute));
      range.ran = true;
    } else if (range.segments.empty()) {
      range.segments = capture_and_run(begin, end);
    } else {
      for (const Segment& segment : range.segments) run_segment(segment);
    }
  }

 private:
  void run_step(std::size_t i) {
    const Marked mark((*names_)[i]);
    activity().at_op(i);
    try {
      steps_[i].step(workspace_);
    } catch (const OutOfDeviceMemory& error) {  // a library's or the driver's own
      throw OutOfDeviceMemory(error.asked_bytes, error.free_bytes, error.purpose,
                              fmt::format("{}: {}", (*names_)[i], error.what()));
    }
  }
  void run_segment(const Segment& segment) {
    if (!segment.graph) return run_step(segment.begin);
    const Marked mark(segment.name);
    activity().at_op(segment.begin);
    // Buckets that were summed outside a graph (communication.cpp has the order).
    gradients_done_.record(device_.stream(Lane::gradients));
    gradients_done_.make_wait(device_.stream(Lane::compute));
    device_.watch().enqueued_graph(segment.name, names_, device_.stream(Lane::compute));
    check(cudaGraphLaunch(segment.graph.get(), device_.stream(Lane::compute)), "launch a graph");
  }

  /// A step between graphs may need their results: each part runs as soon as it is captured.
  std::vector<Segment> capture_and_run(std::size_t begin, std::size_t end) {
    std::vector<Segment> segments;
    while (begin < end) {
      std::size_t next = begin;
      while (next < end && steps_[next].capturable) ++next;
      Segment segment{.begin = begin, .end = next > begin ? next : begin + 1};
      if (next > begin) capture(segment);
      run_segment(segment);
      begin = segment.end;
      segments.push_back(std::move(segment));
    }
    return segments;
  }

  void capture(Segment& segment) {
    const cudaStream_t compute = device_.stream(Lane::compute);
    Capture capture(compute);
    for (std::size_t i = segment.begin; i < segment.end; ++i) {
      try {
        steps_[i].step(workspace_);
        if (!is_captured(compute)) fail("it did what no capture allows");
      } catch (const std::exception& error) {
        fail("step {} ({}) cannot be captured in a CUDA graph: {}", i, (*names_)[i], error.what());
      }
    }
    if (is_captured(device_.stream(Lane::gradients))) {
      gradients_done_.record(device_.stream(Lane::gradients));
      gradients_done_.make_wait(compute);
    }
    device_.watch().clear_marks(compute);
    segment.name =
        fmt::format("the graph of steps {} to {} ({} ... {})", segment.begin, segment.end - 1,
                    (*names_)[segment.begin], (*names_)[segment.end - 1]);
    segment.graph = capture.finish(segment.name);
  }

  std::vector<Prepared> steps_;
  Workspace workspace_;
  Watch::OpNames names_;
  Device& device_;
  Event gradients_done_;
  std::map<std::pair<std::size_t, std::size_t>, Range> ranges_;
};

}  // namespace

std::unique_ptr<Runner> make_runner(std::vector<Prepared> steps, std::vector<std::string> names,
                                    Workspace workspace, Device& device) {
  return std::make_unique<CudaRunner>(std::move(steps), std::move(names), workspace, device);
}

}  // namespace simclr::cuda
