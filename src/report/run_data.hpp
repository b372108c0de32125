#pragma once
// What a run directory says about its run, read without changing anything.

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "metrics_table.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {

using Facts = std::vector<std::pair<std::string, std::string>>;

/// state.json; an absent or unreadable one leaves `status` empty.
struct RunStateText {
  std::string status, reason;
  std::int64_t step = 0;
  std::int64_t restarts = 0;
};

/// One eval/NAME.json.
struct Evaluation {
  std::string name, protocol, test_data, checkpoint;
  std::int64_t step = 0, samples = 0;
  double top1 = 0, top5 = 0;  ///< fractions
};

struct RunData {
  std::string name;  ///< of the directory
  PretrainConfig config;
  Facts options;  ///< all of config.cfg
  RunStateText state;
  MetricsTable metrics;
  std::vector<Evaluation> evaluations;  ///< the newest checkpoint's first
  Facts environment;                    ///< environment.json, to be read
  std::vector<std::string> unreadable;  ///< files that are there and say nothing
};

/// Whether the directory holds a run's configuration.
bool is_run_directory(const std::filesystem::path& directory);

/// Refuses a directory that holds no run, or one whose configuration this program cannot read.
RunData read_run(const std::filesystem::path& directory);

}  // namespace simclr
