#pragma once
// Predicts the memory, communication and time of a pretraining run from its options and its
// recorded program, without a device and without MPI.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "simclr/optim/optimizer.hpp"
#include "simclr/plan/machine.hpp"
#include "simclr/program/op_cost.hpp"
#include "simclr/train/encoder_training.hpp"

// Counts and predicted times of a step: the results of the models in src/plan.
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

namespace simclr {

struct PlanRequest {
  AnyTraining config;
  int ranks = 1;           ///< one per device
  int ranks_per_node = 0;  ///< 0: the machine's number of devices per node
  std::string machine;     ///< measured, h100 or a file; empty: chosen by --device
  std::filesystem::path write_machine;
  std::optional<std::int64_t> samples;       ///< number of images, when there are no shards yet
  std::optional<std::int64_t> sample_bytes;  ///< bytes per stored image, when there are no shards
  std::optional<double> node_memory_gb;
  std::optional<double> time_limit_minutes;
  /// A measurement of this CPU ends so long after the plan was begun.
  double measuring_seconds = kMostMeasuringSeconds;
};

struct DataSummary {
  std::int64_t samples = 0;
  double bytes = 0;  ///< as stored
  bool encoded = false;
  bool assumed = false;  ///< true when not read from shards
};

/// Memory that one rank needs, in bytes. `loader`, `process` and `checkpoint` are host memory; on a
/// CPU everything is.
struct MemoryPlan {
  double arena = 0;           ///< activations
  double saved_per_view = 0;  ///< activations kept for the backward pass, per view
  double workspace = 0;       ///< scratch memory of the ops
  bool workspace_is_allowance = false;
  double parameters = 0;          ///< with gradients, optimizer state and running statistics
  double weight_copies = 0;       ///< 16-bit copies on a GPU
  double inputs = 0;              ///< inputs of a step; of two steps on a GPU
  double device_libraries = 0;    ///< an allowance for a GPU's context and libraries
  double loader = 0;              ///< buffers of the loader
  double process = 0;             ///< program and libraries, without data
  double checkpoint = 0;          ///< while rank 0 writes a checkpoint
  double measuring = 0;           ///< on the host, while the run measures its model
  double measuring_programs = 0;  ///< on the device, at the same time
  double cache_per_node = 0;

  [[nodiscard]] double on_device() const {
    return arena + workspace + parameters + weight_copies + inputs + device_libraries +
           measuring_programs;
  }
  [[nodiscard]] double on_host() const { return loader + process + checkpoint + measuring; }
};

/// Prediction for the same run on another number of devices.
struct ScalingRow {
  int devices = 1;
  std::int64_t batch = 0;
  double step_seconds = 0, images_per_second = 0;
  double slowest_seconds = 0;  ///< of a step; step_seconds on a measured machine
  double efficiency = 0;       ///< images/s per device, relative to the row that has the most
  double exposed_seconds = 0;
  std::string problem;  ///< why this run is impossible; otherwise ""
};

struct RunPlan {
  AnyTraining config;  ///< with resolved precision
  Machine machine;     ///< adapted to the threads and ranks of this run
  plan::Placement placement;
  plan::Cores cores;
  double program_bytes = 0;  ///< resident memory of program and libraries, without data
  DataSummary data;
  Schedule schedule;
  std::int64_t steps_per_epoch = 0, steps = 0;
  std::int64_t encoder_parameters = 0, head_parameters = 0;
  MemoryPlan memory;
  double checkpoint_bytes = 0;
  std::int64_t kept_checkpoints = 0;
  OpCost cost;  ///< cost of a step on one rank
  std::vector<plan::TrafficCount> traffic;
  plan::StepTime step;
  double slowest_seconds = 0;  ///< of a step; step.total on a measured machine
  std::vector<ScalingRow> strong, weak;
  std::vector<std::string> warnings;  ///< why a measurement of this machine is uncertain
  std::vector<std::string> notes;     ///< assumptions, and what is left out

  [[nodiscard]] int nodes() const {
    return (placement.ranks + placement.ranks_per_node - 1) / placement.ranks_per_node;
  }
  [[nodiscard]] double seconds() const { return step.total * static_cast<double>(steps); }
  [[nodiscard]] double node_hours() const { return seconds() * nodes() / 3600; }
  /// How much longer the slowest run takes than the predicted one.
  [[nodiscard]] double slowest_ratio() const { return slowest_seconds / step.total; }
};

/// Plans a run. Throws RefusedError with advice when the run would fail in the queue.
RunPlan make_plan(const PlanRequest& request);

std::string to_text(const RunPlan& plan);
std::string to_json(const RunPlan& plan);

}  // namespace simclr
