#include "lbfgs.hpp"

#include <cmath>
#include <cstddef>
#include <deque>
#include <numeric>
#include <utility>

#include "simclr/core/activity.hpp"
#include "simclr/core/check.hpp"

namespace simclr {
namespace {

constexpr double kSufficientDecrease = 1e-4;
constexpr int kMaxHalvings = 30;

double dot(std::span<const double> a, std::span<const double> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

void add_scaled(std::vector<double>& to, double factor, std::span<const double> from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += factor * from[i];
}

std::vector<double> difference(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result(a);
  add_scaled(result, -1, b);
  return result;
}

/// Returns the largest magnitude, or NaN if any component is NaN.
double largest_magnitude(std::span<const double> values) {
  double largest = 0;
  for (const double value : values) {
    if (!(std::abs(value) <= largest)) largest = std::abs(value);
    if (std::isnan(largest)) return largest;
  }
  return largest;
}

/// One pair of L-BFGS's history: s = change of the point, y = change of the gradient, rho = 1 /
/// (s.y) > 0.
struct Curvature {
  std::vector<double> s, y;
  double rho = 0;
};

/// Computes -H g by the two-loop recursion.
std::vector<double> descent_direction(const std::deque<Curvature>& history,
                                      const std::vector<double>& gradient) {
  std::vector<double> q(gradient);
  std::vector<double> alpha(history.size());
  for (std::size_t i = history.size(); i-- > 0;) {
    alpha[i] = history[i].rho * dot(history[i].s, q);
    add_scaled(q, -alpha[i], history[i].y);
  }
  if (!history.empty()) {
    const auto& newest = history.back();
    const double scale = 1 / (newest.rho * dot(newest.y, newest.y));
    for (double& value : q) value *= scale;
  }
  for (std::size_t i = 0; i < history.size(); ++i) {
    const double beta = history[i].rho * dot(history[i].y, q);
    add_scaled(q, alpha[i] - beta, history[i].s);
  }
  for (double& value : q) value = -value;
  return q;
}

struct Iterate {
  std::vector<double> point, gradient;
  double objective = 0;
};

Iterate evaluate(const Function& objective, std::vector<double> point) {
  activity().move();
  Iterate result{std::move(point), {}, 0};
  result.gradient.resize(result.point.size());
  result.objective = objective(result.point, result.gradient);
  return result;
}

/// Halves the step until the objective falls enough; returns false if it never does.
bool line_search(const Function& objective, const Iterate& from,
                 const std::vector<double>& direction, double step, double relative_noise,
                 Iterate& to) {
  const double slope = dot(from.gradient, direction);
  if (!(slope < 0)) return false;
  for (int halving = 0; halving <= kMaxHalvings; ++halving, step /= 2) {
    std::vector<double> point(from.point);
    add_scaled(point, step, direction);
    to = evaluate(objective, std::move(point));
    const double bound = from.objective + kSufficientDecrease * step * slope +
                         relative_noise * std::abs(from.objective);
    if (to.objective <= bound) return true;
  }
  return false;
}

void remember(std::deque<Curvature>& history, int limit, const Iterate& from, const Iterate& to) {
  Curvature pair{difference(to.point, from.point), difference(to.gradient, from.gradient), 0};
  const double curvature = dot(pair.s, pair.y);
  // Backtracking does not ensure positive curvature; skip a pair without it, which would make H
  // indefinite.
  if (!(curvature > 1e-12 * dot(pair.y, pair.y))) return;
  pair.rho = 1 / curvature;
  history.push_back(std::move(pair));
  if (history.size() > static_cast<std::size_t>(limit)) history.pop_front();
}

}  // namespace

LbfgsResult minimize_lbfgs(const Function& objective, std::vector<double> start,
                           const LbfgsConfig& config) {
  Iterate current = evaluate(objective, std::move(start));
  double gradient_maximum = largest_magnitude(current.gradient);
  if (!std::isfinite(current.objective) || !std::isfinite(gradient_maximum)) {
    fail("the classifier's loss is not finite at the start; check the features");
  }
  std::deque<Curvature> history;
  int iteration = 0;
  while (gradient_maximum > config.gradient_tolerance && iteration < config.max_iterations) {
    const auto direction = descent_direction(history, current.gradient);
    // Without curvature the gradient's scale does not suggest a step size: start with a step of
    // length 1.
    const double step = history.empty() ? 1 / std::sqrt(dot(direction, direction)) : 1;
    Iterate next;
    if (!line_search(objective, current, direction, step, config.relative_noise, next)) break;
    remember(history, config.history, current, next);
    current = std::move(next);
    gradient_maximum = largest_magnitude(current.gradient);
    ++iteration;
  }
  const bool converged = gradient_maximum <= config.gradient_tolerance;
  return {std::move(current.point), current.objective, gradient_maximum, iteration, converged};
}

}  // namespace simclr
