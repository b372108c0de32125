#pragma once
// environment.json: hardware and software of a run, for people and for the next start of the run.

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "simclr/backend/backend.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {

/// What the bits of a run's results depend on beside its configuration and state; also its nodes
/// and its data cache, which do not change bits.
struct Environment {
  BuildInfo build;
  int ranks = 1, threads = 1, nodes = 1;
  std::string cache;                     ///< "node cache"
  std::string device, model, libraries;  ///< Backend::name, model, libraries
  /// Backend::plans, and the device and libraries they were measured with. A start on a device
  /// without plans (the CPU) keeps them for later starts.
  struct Plans {
    std::string model, libraries;
    std::map<std::string, std::string> choices;
  } plans;
};

/// Describes the environment of this start as rank 0 sees it. `data` is the store's description,
/// `earlier` the environment of the run that is resumed. Collective.
Environment describe_environment(const BuildInfo& build, const Backend& backend, int threads,
                                 const std::string& data, Communicator& world,
                                 const std::optional<Environment>& earlier);

/// Reads the environment of the run that holds a checkpoint (RUN/checkpoints/step-....h5); empty if
/// it has none that can be read.
std::optional<Environment> environment_of(const std::filesystem::path& checkpoint);

struct Changes {
  std::string text;       ///< such as "device cpu -> cuda, ranks 1 -> 2"; empty: nothing changed
  bool same_bits = true;  ///< the changes do not alter the bits of results
};
Changes what_changed(const Environment& from, const Environment& to);

/// Whether plans measured elsewhere may be used on this backend: same device model and libraries.
bool plans_fit(const Environment::Plans& plans, const Backend& backend);

/// Writes DIRECTORY/environment.json on rank 0, with each rank's host and device. Collective.
void write_environment(const std::filesystem::path& directory, const Environment& environment,
                       const Backend& backend, Communicator& world);

}  // namespace simclr
