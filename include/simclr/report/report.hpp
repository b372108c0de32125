#pragma once
// report.html: one page of a run's curves, evaluations, augmented pairs and settings, or of several
// runs over each other, that needs nothing but itself.

#include <cstdint>
#include <filesystem>
#include <vector>

namespace simclr {

enum class Pairs : std::uint8_t {
  render,     ///< from the run's data set; where that is gone, the page says so
  leave_out,  ///< reads nothing but the run directory
};

/// Writes the page of one run directory or more, whole or not at all. Refuses a directory that
/// holds no run. The page of several has no augmented pairs. One process on its own calls it; it
/// does not use MPI.
void write_report(const std::vector<std::filesystem::path>& run_dirs,
                  const std::filesystem::path& output, Pairs pairs);

/// RUN/report.html at the end of a job, whose result it must not change: what goes wrong is a
/// warning, and a directory without a run is left alone.
void refresh_report(const std::filesystem::path& run_dir, Pairs pairs);

/// The same for the run that a checkpoint (RUN/checkpoints/step-....h5) lies in, if it is in one.
void refresh_report_of_checkpoint(const std::filesystem::path& checkpoint);

}  // namespace simclr
