#pragma once

#include <functional>
#include <span>
#include <vector>

namespace simclr {

struct LbfgsConfig {
  int max_iterations = 500;
  int history = 10;
  double gradient_tolerance = 1e-5;  ///< stop when no component of the gradient is larger
  double relative_noise = 1e-9;      ///< changes of the objective below this fraction are rounding
};

struct LbfgsResult {
  std::vector<double> point;
  double objective = 0;
  double gradient_maximum = 0;  ///< largest component of the gradient, in magnitude
  int iterations = 0;
  bool converged = false;  ///< false: the iteration limit, or no step lowers the objective any more
};

/// f(point, gradient): writes the gradient, returns the objective.
using Function = std::function<double(std::span<const double>, std::span<double>)>;

/// Minimises a smooth convex function by limited-memory BFGS (Nocedal and Wright, Numerical
/// Optimization, algorithms 7.4 and 7.5) with a backtracking line search. Deterministic: the same
/// objective gives the same iterates. Throws Error when the objective is not finite at the start.
LbfgsResult minimise_lbfgs(const Function& objective, std::vector<double> start,
                           const LbfgsConfig& config);

}  // namespace simclr
