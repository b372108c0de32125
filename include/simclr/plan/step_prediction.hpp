#pragma once
// Counts and predicted times of a step: the results of the models in src/plan.

#include <cstdint>
#include <map>
#include <string>

#include "simclr/program/op_cost.hpp"

namespace simclr::plan {

/// How the ranks of a run are distributed over nodes.
struct Placement {
  int ranks = 1;
  int ranks_per_node = 1;  ///< at most
  int bn_ranks = 1;        ///< number of adjacent ranks that share batch-norm statistics
};

/// Cores and threads of a rank.
struct Cores {
  int available = 1;
  int compute = 1;
  int loader = 1;
};

enum class Traffic : std::uint8_t { bn_statistics, embeddings, loss_sums, running, gradients };
const char* name_of(Traffic traffic);

struct TrafficCount {
  Traffic traffic = Traffic::bn_statistics;
  std::int64_t messages = 0;
  double bytes = 0;  ///< reduced bytes, or size of the gathered result
};

/// Predicted seconds of a step.
struct StepTime {
  double compute = 0;                ///< all ops that compute, and copying the views
  double exposed_communication = 0;  ///< time that ranks wait for each other
  double rendering = 0;              ///< core seconds per rank, beside the step; on a CPU only
  double total = 0;
  std::map<std::string, double> by_verb{};
  std::map<Traffic, double> by_traffic{};  ///< time on the network, hidden or exposed
};

}  // namespace simclr::plan
