#pragma once

#include <functional>
#include <span>
#include <vector>

namespace simclr {

struct LbfgsConfig {
  int max_iterations = 500;
  int history = 10;
  double gradient_tolerance = 1e-5;  ///< stop when no component of the gradient is larger
  double relative_noise = 1e-9;  ///< smaller relative changes of the objective count as rounding
};

struct LbfgsResult {
  std::vector<double> point;
  double objective = 0;
  double gradient_maximum = 0;  ///< largest component of the gradient, in magnitude
  int iterations = 0;
  bool converged = false;  ///< false: iteration limit reached, or no step lowers the objective
};

/// f(point, gradient) writes the gradient and returns the objective.
using Function = std::function<double(std::span<const double>, std::span<double>)>;

/// Minimizes a smooth convex function by limited-memory BFGS (Nocedal and Wright, Numerical
/// Optimization, algorithms 7.4 and 7.5) with a backtracking line search. Deterministic: the same
/// objective gives the same iterates. Throws Error if the objective is not finite at the start.
LbfgsResult minimize_lbfgs(const Function& objective, std::vector<double> start,
                           const LbfgsConfig& config);

}  // namespace simclr
