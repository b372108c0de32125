#pragma once
// What a step counts and takes: the results of the models in src/plan.

#include <cstdint>
#include <map>
#include <string>

#include "simclr/program/op_cost.hpp"

namespace simclr::plan {

/// Where the ranks of a run are.
struct Placement {
  int ranks = 1;
  int ranks_per_node = 1;  ///< at most
  int bn_ranks = 1;        ///< that share batch-norm statistics, neighbours
};

/// Threads of a rank.
struct Cores {
  int available = 1;  ///< to the rank
  int compute = 1;
  int loader = 1;
};

enum class Traffic : std::uint8_t { bn_statistics, embeddings, loss_sums, running, gradients };
const char* name_of(Traffic traffic);

struct TrafficCount {
  Traffic traffic = Traffic::bn_statistics;
  std::int64_t messages = 0;
  double bytes = 0;  ///< that are reduced, or the gathered result
};

struct StepTime {
  double compute = 0;  ///< seconds of all ops that compute, and of bringing the views over
  double exposed_communication = 0;  ///< seconds that ranks wait for each other
  double rendering = 0;              ///< core seconds a rank, beside the above; on a CPU only
  double total = 0;
  std::map<std::string, double> by_verb{};  ///< seconds
  std::map<Traffic, double> by_traffic{};   ///< seconds on the network, hidden ones too
};

}  // namespace simclr::plan
