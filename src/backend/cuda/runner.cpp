#include "runner.hpp"

namespace simclr::cuda {

namespace {

class CudaRunner final : public Runner {
 public:
  explicit CudaRunner(std::vector<std::unique_ptr<Step>> steps) : steps_(std::move(steps)) {}

  void run(std::size_t begin, std::size_t end) override {
    require(begin <= end && end <= steps_.size(), "steps to run exist");
    for (std::size_t i = begin; i < end; ++i) steps_[i]->run();
  }

 private:
  std::vector<std::unique_ptr<Step>> steps_;
};

}  // namespace

std::unique_ptr<Runner> make_runner(std::vector<std::unique_ptr<Step>> steps, Device& /*device*/) {
  return std::make_unique<CudaRunner>(std::move(steps));
}

}  // namespace simclr::cuda
