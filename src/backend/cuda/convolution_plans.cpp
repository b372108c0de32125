#include "convolution_plan.hpp"

#include <fmt/format.h>

#include <utility>

#include "device.hpp"
#include "libraries.hpp"
#include "plan_cache.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"

namespace simclr::cuda {

namespace {

std::string_view name_of(ConvolutionKind kind) {
  switch (kind) {
    case ConvolutionKind::forward:
      return "forward";
    case ConvolutionKind::backward_data:
      return "backward_data";
    case ConvolutionKind::backward_weights:
      return "backward_weights";
  }
  fail("no such kind of convolution");
}

}  // namespace

std::string ConvolutionShape::text() const {
  std::string text =
      fmt::format("{} {} {}x{}x{}x{} -> {}x{}x{}, {}x{} stride {} padding {}", name_of(kind),
                  simclr::name_of(dtype), images, height, width, in_channels, out_height, out_width,
                  out_channels, kernel, kernel, stride, padding);
  if (kind == ConvolutionKind::backward_weights) {
    text += fmt::format(", dw {}", simclr::name_of(gradient_dtype));
  }
  if (dtype == DType::f32 && allow_tf32) text += ", tf32";
  if (with_statistics) text += ", with statistics";
  return text;
}

namespace {

// Kept as choices, too: other ranks and later starts must not find an engine where one was not had
// before, nor write a gradient in another type.
constexpr const char* kNoEngine = "none";
constexpr const char* kNarrowIsFaster = "dw in 16 bits is faster";
constexpr const char* kApartIsFaster = "statistics apart are faster";

/// dw is written in f32 unless that takes more than this times what rounding it to 16 bits does.
constexpr float kPriceOfExactness = 1.05F;

/// Engines' numbers mean the same code for one GPU model, driver and set of libraries.
std::string machine_of(const Device& device) {
  const DeviceProperties& p = device.properties();
  return fmt::format("{}, {} multiprocessors, driver {}.{}, {}", p.name, p.multiprocessors,
                     p.driver_version / 1000, p.driver_version % 1000 / 10, Libraries::versions());
}

}  // namespace

struct ConvolutionPlans::Impl {
  explicit Impl(Device& its_device)
      : device(its_device), cache(device.options().plan_cache, machine_of(device)) {}

  struct Chosen {
    std::string choice = kNoEngine;
    std::unique_ptr<ConvolutionPlan> plan;
  };

  /// A choice made earlier. Throws Error where it cannot be had.
  Chosen follow(const ConvolutionShape& shape, const std::string& choice) {
    if (choice == kNoEngine || (choice == kNarrowIsFaster && shape.widens_gradient()) ||
        (choice == kApartIsFaster && shape.with_statistics)) {
      return {choice, nullptr};
    }
    return {choice, make_convolution_plan(shape, choice, device)};
  }

  Chosen choose(const ConvolutionShape& shape, const std::string& name) {
    if (const auto found = preferred.find(name); found != preferred.end()) {
      try {
        return follow(shape, found->second);
      } catch (const Error& error) {
        log::warning(
            "convolution {}: the run used {}, which is not to be had here ({}); another engine is "
            "measured, and results will not repeat bit for bit",
            name, found->second, error.what());
      }
    }
    if (const auto found = cache.find(name)) {
      try {
        return follow(shape, *found);
      } catch (const Error& error) {
        log::info("convolution {}: the plan cache's {} is passed over ({})", name, *found,
                  error.what());
      }
    }
    Chosen chosen = measure(shape);
    cache.store(name, chosen.choice);
    return chosen;
  }

  Chosen measure(const ConvolutionShape& shape) {
    activity().move();  // measuring takes seconds a shape
    TimedPlan found = measure_convolution_plans(shape, device);
    if (!found.plan) return {};
    ConvolutionShape simpler = shape;
    if (shape.widens_gradient()) {
      simpler.gradient_dtype = shape.dtype;
      if (keep_if_faster(simpler, found.milliseconds / kPriceOfExactness)) {
        return {kNarrowIsFaster, nullptr};
      }
    }
    if (shape.with_statistics) {
      simpler.with_statistics = false;
      if (keep_if_faster(simpler, found.milliseconds - measure_statistics_pass(simpler, device))) {
        return {kApartIsFaster, nullptr};
      }
    }
    std::string choice = found.plan->choice();
    return {std::move(choice), std::move(found.plan)};
  }

  /// Whether the shape's best plan takes less than `milliseconds`; it is kept then.
  bool keep_if_faster(const ConvolutionShape& shape, float milliseconds) {
    activity().move();
    TimedPlan found = measure_convolution_plans(shape, device);
    if (!found.plan || found.milliseconds >= milliseconds) return false;
    const std::string name = shape.text();
    log::info("convolution {}: taken for its {:.3f} ms, where {:.3f} would be too many", name,
              found.milliseconds, milliseconds);
    std::string choice = found.plan->choice();
    cache.store(name, choice);
    plans.emplace(name, Chosen{std::move(choice), std::move(found.plan)});
    return true;
  }

  Device& device;
  PlanCache cache;
  std::map<std::string, std::string> preferred;
  std::map<std::string, Chosen> plans;  ///< by shape.text()
};

ConvolutionPlans::ConvolutionPlans(Device& device) : impl_(std::make_unique<Impl>(device)) {}
ConvolutionPlans::~ConvolutionPlans() = default;

ConvolutionPlan* ConvolutionPlans::find_or_choose(const ConvolutionShape& shape) {
  const std::string name = shape.text();
  auto found = impl_->plans.find(name);
  if (found == impl_->plans.end()) {
    found = impl_->plans.emplace(name, impl_->choose(shape, name)).first;
  }
  return found->second.plan.get();
}

std::map<std::string, std::string> ConvolutionPlans::choices() const {
  std::map<std::string, std::string> all;
  for (const auto& [name, chosen] : impl_->plans) all[name] = chosen.choice;
  return all;
}

void ConvolutionPlans::prefer(const std::map<std::string, std::string>& choices) {
  for (const auto& [name, choice] : choices) {
    impl_->preferred[name] = choice;
    const auto made = impl_->plans.find(name);
    if (made != impl_->plans.end() && made->second.choice != choice) {
      log::warning("convolution {}: {} is in use already; the run's {} comes too late", name,
                   made->second.choice, choice);
    }
  }
}

}  // namespace simclr::cuda
