#include "runner.hpp"

#include <omp.h>

#include "simclr/core/activity.hpp"

namespace simclr::cpu {

namespace {

class CpuRunner final : public Runner {
 public:
  CpuRunner(std::vector<Prepared> steps, Workspace workspace, int threads,
            const PendingGradients& pending)
      : steps_(std::move(steps)), workspace_(workspace), threads_(threads), pending_(&pending) {}

  void run(std::size_t begin, std::size_t end) override {
    require(begin <= end && end <= steps_.size(), "steps to run exist");
    omp_set_num_threads(threads_);  // a property of the calling thread
    for (std::size_t i = begin; i < end; ++i) {
      activity().at_op(i);
      steps_[i].step(workspace_);
      if (pending_->lane != nullptr) pending_->lane->progress();
    }
  }

 private:
  std::vector<Prepared> steps_;
  Workspace workspace_;
  int threads_;
  const PendingGradients* pending_;
};

}  // namespace

std::unique_ptr<Runner> make_runner(std::vector<Prepared> steps, Workspace workspace, int threads,
                                    const PendingGradients& pending) {
  return std::make_unique<CpuRunner>(std::move(steps), workspace, threads, pending);
}

}  // namespace simclr::cpu
