#pragma once
// Checkpoints: one HDF5 file (format "simclr-checkpoint", version 1) that knows nothing of ranks.
//
//   /parameters/NAME, /running/NAME           f32, canonical layouts (filters K,R,S,C)
//   /optimizer/momentum/NAME, /optimizer/second_moment/NAME     f32, shaped like the parameter
//   attributes of a dataset: checksum (XXH3 of its bytes)
//   attributes of the file: format, version, step, epoch, seed, configuration, model, checksum (of
//   all names, checksums and the other attributes); for fp16 also loss_scaling (scale, good steps,
//   skipped steps); in newer files also data (io/fingerprint.hpp)

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "simclr/tensor/named_tensor.hpp"

namespace simclr {

/// State of dynamic loss scaling (fp16).
struct LossScaling {
  std::int64_t scale = std::int64_t{1} << 16;  ///< scale of the next step; a power of two
  std::int64_t good_steps = 0;                 ///< steps since the scale last changed
  std::int64_t skipped_steps = 0;              ///< total of steps without an update
  bool operator==(const LossScaling&) const = default;
};

struct Checkpoint {
  std::int64_t step = 0;   ///< updates done; the next batch is number `step` (from 0)
  std::int64_t epoch = 0;  ///< the epoch that next batch belongs to
  std::uint64_t seed = 0;
  std::string configuration;  ///< effective configuration, loadable with --config
  std::string model;          ///< JSON, see train/model_description.hpp
  std::string data;           ///< text of the training data's fingerprint; "" in older files
  std::optional<LossScaling> loss_scaling;
  std::vector<NamedTensor> parameters, running, momentum, second_moment;
  std::string checksum;  ///< hexadecimal, of the whole file; set on reading
};

/// Returns the values of a tensor, valid until the next call. Tensors are numbered from 0 through
/// parameters, running, momentum and second_moment.
using TensorValues = std::function<std::span<const float>(std::size_t number)>;

/// Writes to a temporary name in the same directory, syncs, renames. On failure (full disk, ...) it
/// deletes the temporary file and throws Error. Returns the checksum of the whole file. Calls
/// `still_wanted` just before the renaming, see AtomicFile::commit(). With `values` the tensors of
/// `checkpoint` have no values of their own: each is asked for when it is written, so that memory
/// holds only one of them; after a transient error it is asked for again.
std::string write_checkpoint(const std::filesystem::path& file, const Checkpoint& checkpoint,
                             const std::function<bool()>& still_wanted = {},
                             const TensorValues& values = {});

/// Reads a checkpoint and verifies every checksum. Throws RefusedError naming the file when it is
/// missing, damaged or not a checkpoint.
Checkpoint read_checkpoint(const std::filesystem::path& file);

struct CheckpointFile {
  std::filesystem::path path;
  std::int64_t step = 0;
};
/// DIRECTORY/step-0000000100.h5
std::filesystem::path checkpoint_path(const std::filesystem::path& directory, std::int64_t step);
/// Lists a directory's checkpoints, oldest first; empty when the directory does not exist. Throws
/// RefusedError when it cannot be listed.
std::vector<CheckpointFile> list_checkpoints(const std::filesystem::path& directory);

struct FoundCheckpoint {
  CheckpointFile file;
  Checkpoint checkpoint;
};
/// Reads the newest checkpoint that verifies, and logs a warning for each newer one that does not.
/// Empty when the directory holds no checkpoint; throws RefusedError when none of them verifies.
std::optional<FoundCheckpoint> newest_valid_checkpoint(const std::filesystem::path& directory);

/// Reads a checkpoint file, or the newest valid checkpoint of a run directory. Throws RefusedError.
FoundCheckpoint open_checkpoint(const std::filesystem::path& run_or_file);

/// Deletes all but the `keep` newest checkpoints. Checkpoints for which `pinned` returns true are
/// kept and not counted; those of the `spared` steps are kept and counted.
void prune_checkpoints(const std::filesystem::path& directory, int keep,
                       const std::function<bool(std::int64_t step)>& pinned,
                       const std::vector<std::int64_t>& spared = {});

/// Reads the attribute `format` or `origin` of an HDF5 file; "" when it has none. Throws
/// RefusedError when the file is not HDF5.
std::string hdf5_file_attribute(const std::filesystem::path& path, const char* name);

/// Whether a file is HDF5 and has this dataset.
bool hdf5_file_holds(const std::filesystem::path& path, const std::string& dataset);

/// Version of the HDF5 library, such as "1.10.8".
std::string hdf5_version();

/// Deletes the temporary files of interrupted writes.
void remove_unfinished_checkpoints(const std::filesystem::path& directory);

}  // namespace simclr
