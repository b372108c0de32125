#pragma once
// Reads the files of a run directory without changing them.

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "metrics_table.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {

using Facts = std::vector<std::pair<std::string, std::string>>;

/// The contents of state.json; `status` is empty when it is missing or unreadable.
struct RunStateText {
  std::string status, reason;
  std::int64_t step = 0;
  std::int64_t restarts = 0;
};

/// The contents of one eval/NAME.json.
struct Evaluation {
  std::string name, protocol, test_data, checkpoint;
  std::int64_t step = 0, samples = 0;
  double top1 = 0, top5 = 0;  ///< fractions
};

struct RunData {
  std::string name;  ///< name of the directory
  PretrainConfig config;
  Facts options;  ///< all of config.cfg
  RunStateText state;
  MetricsTable metrics;
  std::vector<Evaluation> evaluations;  ///< newest checkpoint first
  Facts environment;                    ///< environment.json as titles and values
  std::vector<std::string> unreadable;  ///< files that exist but cannot be read
};

/// True when the directory holds a run's configuration.
bool is_run_directory(const std::filesystem::path& directory);

/// Reads a run. Throws RefusedError when the directory holds no run or its configuration cannot be
/// read.
RunData read_run(const std::filesystem::path& directory);

}  // namespace simclr
