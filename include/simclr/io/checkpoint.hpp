#pragma once
// Checkpoints: one HDF5 file (format "simclr-checkpoint", version 1) that knows nothing of ranks.
//
//   /parameters/NAME, /running/NAME           f32, canonical layouts (filters K,R,S,C)
//   /optimizer/momentum/NAME, /optimizer/second_moment/NAME     f32, shaped like the parameter
//   attributes of a dataset: checksum (XXH3 of its bytes)
//   attributes of the file: format, version, step, epoch, seed, configuration, model, checksum (of
//   all names, checksums and the other attributes); of a run in fp16 also loss_scaling (scale, good
//   steps, skipped steps)

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "simclr/tensor/shape.hpp"

namespace simclr {

struct NamedTensor {
  std::string name;
  Shape shape;
  std::vector<float> values;
};

/// Where a run with dynamic loss scaling (fp16) stands.
struct LossScaling {
  std::int64_t scale = std::int64_t{1} << 16;  ///< of the next step; a power of two
  std::int64_t good_steps = 0;                 ///< since the scale last changed
  std::int64_t skipped_steps = 0;              ///< in all: steps without an update
  bool operator==(const LossScaling&) const = default;
};

struct Checkpoint {
  std::int64_t step = 0;   ///< updates done; the next batch is number `step` (from 0)
  std::int64_t epoch = 0;  ///< the epoch that next batch belongs to
  std::uint64_t seed = 0;
  std::string configuration;  ///< effective configuration, loadable with --config
  std::string model;          ///< JSON, see train/model_description.hpp
  std::optional<LossScaling> loss_scaling;
  std::vector<NamedTensor> parameters, running, momentum, second_moment;
  std::string checksum;  ///< hexadecimal, of the whole; filled by reading and writing
};

/// Writes to a temporary name in the same directory, syncs, renames. Throws Error (full disk, ...),
/// and then nothing of the file stays behind. Returns the checksum of the whole.
std::string write_checkpoint(const std::filesystem::path& file, const Checkpoint& checkpoint);

/// Reads and verifies every checksum. Throws RefusedError naming the file: missing, no checkpoint,
/// or damaged.
Checkpoint read_checkpoint(const std::filesystem::path& file);

struct CheckpointFile {
  std::filesystem::path path;
  std::int64_t step = 0;
};
/// DIRECTORY/step-0000000100.h5
std::filesystem::path checkpoint_path(const std::filesystem::path& directory, std::int64_t step);
/// The checkpoints in a directory, oldest first; empty when there is no such directory.
std::vector<CheckpointFile> list_checkpoints(const std::filesystem::path& directory);

struct FoundCheckpoint {
  CheckpointFile file;
  Checkpoint checkpoint;
};
/// The newest checkpoint that verifies; logs a warning with the reason for each newer one that does
/// not. Empty when there is none at all; throws RefusedError when there are some but none verifies.
std::optional<FoundCheckpoint> newest_valid_checkpoint(const std::filesystem::path& directory);

/// A checkpoint file, or a run directory: its newest valid checkpoint. RefusedError otherwise.
FoundCheckpoint open_checkpoint(const std::filesystem::path& run_or_file);

/// Deletes all but the `keep` newest checkpoints; those that `pinned` says yes to neither count nor
/// go; those of the `spared` steps count, but do not go.
void prune_checkpoints(const std::filesystem::path& directory, int keep,
                       const std::function<bool(std::int64_t step)>& pinned,
                       const std::vector<std::int64_t>& spared = {});

/// "1.10.8".
std::string hdf5_version();

/// Deletes what an interrupted write has left behind.
void remove_unfinished_checkpoints(const std::filesystem::path& directory);

}  // namespace simclr
