#pragma once
// Writes report.html: a self-contained page of the curves, evaluations, augmented pairs and
// settings of a run, or of several runs over each other.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "simclr/io/image_file.hpp"

namespace simclr {

struct EncoderTraining;

enum class Pairs : std::uint8_t {
  render,     ///< renders them from the run's data set; if it is gone, the page says so
  leave_out,  ///< reads only the run directory
};

/// Writes the page of one or more run directories atomically. Throws RefusedError for a directory
/// that holds no run. The page of several runs has no augmented pairs. Does not use MPI: only one
/// process must call it.
void write_report(const std::vector<std::filesystem::path>& run_dirs,
                  const std::filesystem::path& output, Pairs pairs);

/// Writes RUN/report.html at the end of a job. Errors are logged as warnings, since they must not
/// change the job's result. Does nothing for a directory without a run.
void refresh_report(const std::filesystem::path& run_dir, Pairs pairs);

/// The same for the run to which a checkpoint (RUN/checkpoints/step-....h5) belongs, if any.
void refresh_report_of_checkpoint(const std::filesystem::path& checkpoint);

/// Writes the page of a study atomically. `study`: a JSON object of
///   name; axes: [{name, values: [text, ...]}, ...] without seeds
///   metrics: [{name, percent: whether it is a fraction to be shown in %}, ...], the main one first
///   lines: [{places: [index of the value on each axis, ...], problems: [text, ...], paper or null,
///     metrics: {name: {mean, deviation or null, count}}}, ...]
///   paper: {title, metric} or null
void write_study_page(const std::filesystem::path& output, const std::string& study);

/// Draws the first `groups` samples of the first batch: each sample's stored image (its central
/// square) and its two views, without --mean and --std. Reads only these samples. Throws
/// RefusedError for a data set that cannot be read.
Image augmented_pairs(const EncoderTraining& config, std::int64_t groups);

}  // namespace simclr
