#include "convolution_plan.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "device.hpp"
#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"

namespace simclr::cuda {

namespace {

/// In the order of ConvolutionKind.
constexpr std::array<std::string_view, 3> kKindNames{"forward", "backward_data",
                                                     "backward_weights"};

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
                     p.driver_version / 1000, p.driver_version % 1000 / 10, library_versions());
}

}  // namespace

std::string ConvolutionShape::text() const {
  std::string text = fmt::format("{} {} {}x{}x{}x{} -> {}x{}x{}, {}x{} stride {} padding {}",
                                 kKindNames.at(static_cast<std::size_t>(kind)), name_of(dtype),
                                 images, height, width, in_channels, out_height, out_width,
                                 out_channels, kernel, kernel, stride, padding);
  if (kind == ConvolutionKind::backward_weights) {
    text += fmt::format(", dw {}", name_of(gradient_dtype));
  }
  if (dtype == DType::f32 && allow_tf32) text += ", tf32";
  if (with_statistics) text += ", with statistics";
  return text;
}

ConvolutionPlans::ConvolutionPlans(Device& device)
    : device_(device), cache_(device.options().plan_cache, machine_of(device)) {}

ConvolutionPlans::Chosen ConvolutionPlans::follow(const ConvolutionShape& shape,
                                                  const std::string& choice) {
  if (choice == kNoEngine || (choice == kNarrowIsFaster && shape.widens_gradient()) ||
      (choice == kApartIsFaster && shape.with_statistics)) {
    return {choice, nullptr};
  }
  return {choice, make_convolution_plan(shape, choice, device_)};
}

ConvolutionPlans::Chosen ConvolutionPlans::choose(const ConvolutionShape& shape,
                                                  const std::string& name) {
  if (const auto found = preferred_.find(name); found != preferred_.end()) {
    try {
      return follow(shape, found->second);
    } catch (const Error& error) {
      log::warning(
          "convolution {}: the run used {}, which is not to be had here ({}); another engine is "
          "measured, and results will not repeat bit for bit",
          name, found->second, error.what());
    }
  }
  if (const auto found = cache_.find(name)) {
    try {
      return follow(shape, *found);
    } catch (const Error& error) {
      log::info("convolution {}: the plan cache's {} is passed over ({})", name, *found,
                error.what());
    }
  }
  Chosen chosen = measure(shape);
  cache_.store(name, chosen.choice);
  return chosen;
}

ConvolutionPlans::Chosen ConvolutionPlans::measure(const ConvolutionShape& shape) {
  activity().move();  // measuring takes seconds a shape
  TimedPlan found = measure_convolution_plans(shape, device_);
  if (!found.plan) return {kNoEngine, nullptr};
  ConvolutionShape simpler = shape;
  if (shape.widens_gradient()) {
    simpler.gradient_dtype = shape.dtype;
    if (keep_if_faster(simpler, found.milliseconds / kPriceOfExactness)) {
      return {kNarrowIsFaster, nullptr};
    }
  }
  if (shape.with_statistics) {
    simpler.with_statistics = false;
    if (keep_if_faster(simpler, found.milliseconds - measure_statistics_pass(simpler, device_))) {
      return {kApartIsFaster, nullptr};
    }
  }
  std::string choice = found.plan->choice();
  return {std::move(choice), std::move(found.plan)};
}

bool ConvolutionPlans::keep_if_faster(const ConvolutionShape& shape, float milliseconds) {
  activity().move();
  TimedPlan found = measure_convolution_plans(shape, device_);
  if (!found.plan || found.milliseconds >= milliseconds) return false;
  const std::string name = shape.text();
  log::info("convolution {}: taken for its {:.3f} ms, where {:.3f} would be too many", name,
            found.milliseconds, milliseconds);
  std::string choice = found.plan->choice();
  cache_.store(name, choice);
  plans_.emplace(name, Chosen{std::move(choice), std::move(found.plan)});
  return true;
}

ConvolutionPlan* ConvolutionPlans::find_or_choose(const ConvolutionShape& shape) {
  const std::string name = shape.text();
  auto found = plans_.find(name);
  if (found == plans_.end()) {
    found = plans_.emplace(name, choose(shape, name)).first;
  }
  return found->second.plan.get();
}

std::map<std::string, std::string> ConvolutionPlans::choices() const {
  std::map<std::string, std::string> all;
  for (const auto& [name, chosen] : plans_) all[name] = chosen.choice;
  return all;
}

void ConvolutionPlans::prefer(const std::map<std::string, std::string>& choices) {
  for (const auto& [name, choice] : choices) {
    preferred_[name] = choice;
    const auto made = plans_.find(name);
    if (made != plans_.end() && made->second.choice != choice) {
      log::warning("convolution {}: {} is in use already; the run's {} comes too late", name,
                   made->second.choice, choice);
    }
  }
}

}  // namespace simclr::cuda
