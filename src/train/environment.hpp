#pragma once
// environment.json: what a run computes on and with, for people and for the run's next start.

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "simclr/backend/backend.hpp"
#include "simclr/comm/communicator.hpp"
#include "simclr/train/training_job.hpp"

namespace simclr {

/// What decides, beside the run's configuration and state, over the bits of its results; and where
/// it runs and keeps its data, which does not.
struct Environment {
  BuildInfo build;
  int ranks = 1, threads = 1, nodes = 1;
  std::string cache;                     ///< "node cache"
  std::string device, model, libraries;  ///< Backend::name, model, libraries
  /// Backend::plans, and the device and libraries they were measured with. They stay with the run
  /// while it goes on where there is nothing to plan.
  struct Plans {
    std::string model, libraries;
    std::map<std::string, std::string> choices;
  } plans;
};

/// That of this start, as rank 0 sees it; `data` is the store's description, `earlier` the one it
/// goes on from. Collective.
Environment describe_environment(const BuildInfo& build, const Backend& backend, int threads,
                                 const std::string& data, Communicator& world,
                                 const std::optional<Environment>& earlier);

/// The environment of the run that a checkpoint lies in (RUN/checkpoints/step-....h5); empty where
/// it has none that can be read.
std::optional<Environment> environment_of(const std::filesystem::path& checkpoint);

struct Changes {
  std::string text;       ///< "device cpu -> cuda, ranks 1 -> 2"; "" where there are none
  bool same_bits = true;  ///< results go on bit for bit
};
Changes what_changed(const Environment& from, const Environment& to);

/// Whether plans measured there are good here.
bool plans_fit(const Environment::Plans& plans, const Backend& backend);

/// Writes DIRECTORY/environment.json on rank 0, with each rank's host and device. Collective.
void write_environment(const std::filesystem::path& directory, const Environment& environment,
                       const Backend& backend, Communicator& world);

}  // namespace simclr
