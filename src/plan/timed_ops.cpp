#include "timed_ops.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace simclr::plan {
namespace {

/// The lower quartile, because disturbances only make an op slower.
double typical(std::vector<double>& values) {
  const auto quartile = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 4);
  std::ranges::nth_element(values, quartile);
  return *quartile;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// "conv_forward by 45 %, update by 60 %": kinds of ops whose median over the steps is far above
/// the fastest.
std::string scattering_kinds(const std::vector<TimedOp>& timed) {
  constexpr double kScatter = 0.25;
  constexpr double kSmallPart = 0.02;  // kinds that take less of the time do not count
  struct Sums {
    double median = 0, fastest = 0;
  };
  std::map<std::string, Sums> kinds;
  double all = 0;
  for (const TimedOp& op : timed) {
    if (op.seconds.empty()) continue;
    Sums& sums = kinds[op.shape.kind];
    sums.median += median(op.seconds);
    sums.fastest += std::ranges::min(op.seconds);
    all += median(op.seconds);
  }
  std::string text;
  for (const auto& [kind, sums] : kinds) {
    const double scatter = sums.median / sums.fastest - 1;
    if (!(scatter > kScatter) || sums.median < kSmallPart * all) continue;
    text += fmt::format("{}{} by {:.0f} %", text.empty() ? "" : ", ", kind, 100 * scatter);
  }
  return text;
}

}  // namespace

void set_shares(Machine& machine, const std::vector<TimedOp>& timed) {
  struct Group {
    const TimedOp* first = nullptr;
    std::vector<double> seconds;
  };
  std::map<std::string, Group> groups;
  for (const TimedOp& op : timed) {
    if (op.seconds.empty()) continue;
    Group& group = groups.try_emplace(op.text, Group{.first = &op, .seconds = {}}).first->second;
    group.seconds.insert(group.seconds.end(), op.seconds.begin(), op.seconds.end());
  }
  for (auto& [text, group] : groups) {
    const Demand& demand = group.first->demand;
    double& peak =
        demand.half && machine.half_gflops > 0 ? machine.half_gflops : machine.f32_gflops;
    peak = std::max(peak, demand.flops / typical(group.seconds) / kGiga);
  }
  for (auto& [text, group] : groups) {
    const double share = roofline_seconds(group.first->demand, machine) / typical(group.seconds);
    machine.efficiencies.push_back({.shape = group.first->shape, .share = share});
  }
}

std::vector<std::string> describe(const Disturbance& disturbance,
                                  const std::vector<TimedOp>& timed) {
  constexpr double kBusy = 0.2;
  std::vector<std::string> warnings;
  const std::string scatter = scattering_kinds(timed);
  const bool busy = disturbance.waiting_share > kBusy;
  if (busy || !scatter.empty()) {
    warnings.push_back(fmt::format(
        "this machine is busy: {}{}{}; the predicted times are uncertain; plan on an idle machine, "
        "or with --machine FILE",
        busy ? fmt::format("the measuring thread waited for a core {:.0f} % of the time",
                           100 * disturbance.waiting_share)
             : "",
        busy && !scatter.empty() ? ", and " : "",
        scatter.empty() ? "" : "the timings scatter (" + scatter + ")"));
  }
  if (disturbance.skipped_networks > 0) {
    warnings.push_back(fmt::format(
        "{} of {} networks could be timed within {:.0f} seconds; ops of other shapes are "
        "interpolated from fewer measured ones",
        disturbance.networks - disturbance.skipped_networks, disturbance.networks,
        disturbance.limit_seconds));
  }
  return warnings;
}

std::vector<std::string> missing_kinds(const Program& program, const Machine& machine) {
  std::set<std::string> missing;
  for (const Op& op : program.ops) {
    if (is_communication(op)) continue;
    const std::string kind(verb(op));
    const auto covers = [&](const Efficiency& e) { return kind.starts_with(e.shape.kind); };
    if (std::ranges::none_of(machine.efficiencies, covers)) missing.insert(kind);
  }
  return {missing.begin(), missing.end()};
}

}  // namespace simclr::plan
