// ConvolutionPlans on cuDNN.

#include "../convolution_plan.hpp"

#include <fmt/format.h>

#include <utility>

#include "../device.hpp"
#include "../plan_cache.hpp"
#include "measure.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/log.hpp"

namespace simclr::cuda {

namespace {

/// Engines' numbers mean the same code for one GPU model, driver and set of libraries.
std::string machine_of(const Device& device) {
  const DeviceProperties& p = device.properties();
  return fmt::format("{}, {} multiprocessors, driver {}.{}, {}", p.name, p.multiprocessors,
                     p.driver_version / 1000, p.driver_version % 1000 / 10, Libraries::versions());
}

/// Kept as well: other ranks and later starts must not find an engine where one was not had before.
constexpr const char* kNoEngine = "none";

std::string choice_of(const cudnn::EnginePlan* plan) {
  return plan != nullptr ? plan->choice() : kNoEngine;
}

}  // namespace

struct ConvolutionPlans::Impl {
  explicit Impl(Device& its_device)
      : device(its_device), cache(device.options().plan_cache, machine_of(device)) {}

  /// By a choice made earlier. Throws Error saying why where it cannot be had (any more).
  std::unique_ptr<cudnn::EnginePlan> make(
      const std::shared_ptr<const cudnn::ConvolutionGraph>& graph, const std::string& choice) {
    const auto parsed = EngineChoice::parse(choice);
    if (!parsed) fail("\"{}\" names no engine of cuDNN", choice);
    return std::make_unique<cudnn::EnginePlan>(graph, cudnn::make_engine_config(*graph, *parsed),
                                               &device.libraries().handles());
  }

  std::unique_ptr<cudnn::EnginePlan> choose(const ConvolutionShape& shape,
                                            const std::string& name) {
    const auto graph = std::make_shared<const cudnn::ConvolutionGraph>(
        shape, cudnn::Target{.handle = device.libraries().handles().cudnn});
    if (const auto found = preferred.find(name); found != preferred.end()) {
      if (found->second == kNoEngine) return nullptr;
      try {
        return make(graph, found->second);
      } catch (const Error& error) {
        log::warning(
            "convolution {}: the run used {}, which is not to be had here ({}); another engine is "
            "measured, and results will not repeat bit for bit",
            name, found->second, error.what());
      }
    }
    if (const auto found = cache.find(name)) {
      if (*found == kNoEngine) return nullptr;
      try {
        return make(graph, *found);
      } catch (const Error& error) {
        log::info("convolution {}: the plan cache's {} is passed over ({})", name, *found,
                  error.what());
      }
    }
    activity().move();  // measuring takes seconds a shape
    auto plan = cudnn::measure_engines(graph, device);
    cache.store(name, choice_of(plan.get()));
    return plan;
  }

  Device& device;
  PlanCache cache;
  std::map<std::string, std::string> preferred;
  std::map<std::string, std::unique_ptr<cudnn::EnginePlan>> plans;  ///< by shape.text()
};

ConvolutionPlans::ConvolutionPlans(Device& device) : impl_(std::make_unique<Impl>(device)) {}
ConvolutionPlans::~ConvolutionPlans() = default;

ConvolutionPlan* ConvolutionPlans::find_or_choose(const ConvolutionShape& shape) {
  const std::string name = shape.text();
  auto found = impl_->plans.find(name);
  if (found == impl_->plans.end()) {
    found = impl_->plans.emplace(name, impl_->choose(shape, name)).first;
  }
  return found->second.get();
}

std::map<std::string, std::string> ConvolutionPlans::choices() const {
  std::map<std::string, std::string> all;
  for (const auto& [name, plan] : impl_->plans) {
    all[name] = choice_of(plan.get());
  }
  return all;
}

void ConvolutionPlans::prefer(const std::map<std::string, std::string>& choices) {
  for (const auto& [name, choice] : choices) {
    impl_->preferred[name] = choice;
    const auto made = impl_->plans.find(name);
    if (made != impl_->plans.end() && choice_of(made->second.get()) != choice) {
      log::warning("convolution {}: {} is in use already; the run's {} comes too late", name,
                   choice_of(made->second.get()), choice);
    }
  }
}

}  // namespace simclr::cuda
