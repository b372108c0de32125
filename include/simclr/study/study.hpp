#pragma once
// Studies: a grid of runs from one file, their tables and their page.
//
// A study file is a configuration file with two more sections. [study] names the study and has the
// published figures to show beside its own; [axes] has a line for each axis:
//   command.option = value, value, ...
// "command." may be left out for pretrain. A value with a comma or an & stands in double quotes.
// Options that change together are one axis: a & b = 1 & x, 2 & y. Axes of seeds (seed, label-seed)
// repeat a cell; all other combinations of values are cells. The sections of commands have the
// options that all cells share, and say which evaluations there are.
//
// A cell's pieces of work are a pretraining run, which cells with the same options share, the
// evaluations of that run, and training with labels.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "simclr/core/options.hpp"
#include "simclr/core/system.hpp"

namespace simclr {

/// A command's options at their defaults; `target` is what they set.
struct DeclaredCommand {
  std::shared_ptr<void> target;
  std::shared_ptr<Options> options;
};

/// What a study asks the program's commands.
struct StudyCommands {
  /// Declares the options of one of study_commands().
  std::function<DeclaredCommand(const std::string& command)> declare;
  /// Refuses arguments of a command that it would refuse before any work: on any machine, or, with
  /// `here`, on this one.
  std::function<void(const std::string& command, const std::vector<std::string>& arguments,
                     bool here)>
      check;
};

/// The commands that a study may run, in the order in which it runs them for a cell.
const std::vector<std::string>& study_commands();

/// The options of `simclr study` that are also the keys of section [study].
struct StudyConfig {
  std::filesystem::path file;    ///< a study file, or the directory of a study
  std::filesystem::path output;  ///< the study's directory
  std::string name;
  std::optional<std::filesystem::path> recipe;  ///< relative to the study file
  std::filesystem::path data, eval_data;
  /// Published figures, one for each cell in the order of the table; "-" where none is published.
  std::string paper;
  std::string paper_title;   ///< where they are published, and of what
  std::string paper_metric;  ///< the metric that they are to be compared with
};
void declare_study(Options& options, StudyConfig& config);

/// The file of a study: `file` itself, or the copy in the directory that it names. Refuses what is
/// neither, naming the option.
std::filesystem::path study_file(const std::filesystem::path& file);

/// An axis: values of one or several options.
struct StudyAxis {
  struct Option {
    std::string command, name;
    std::string written;  ///< as in the file: with or without the command
  };
  std::vector<Option> options;
  std::vector<std::vector<std::string>> values;  ///< each has a text for every option
  std::string where;                             ///< "FILE:LINE: "

  /// Whether its values repeat a cell.
  [[nodiscard]] bool is_seed() const;
};

/// The axes of section [axes], in the order of the file. Throws RefusedError "FILE:LINE: ..." for
/// unknown commands, axes without values, empty values and repeated ones.
std::vector<StudyAxis> parse_axes(const std::string& text, const std::string& origin);

/// A piece of work: one run of a command.
struct StudyWork {
  std::string command;
  std::string name;                        ///< unique among the works of its command
  std::filesystem::path directory;         ///< the run's, or for an evaluation that of its result
  std::filesystem::path result;            ///< of an evaluation: its file; else empty
  std::optional<std::size_t> parent;       ///< the pretraining run that it needs
  std::size_t cell = 0;                    ///< the first cell that has it
  std::vector<std::string> arguments;      ///< for StudyCommands::check
  std::string section;                     ///< its part of a cell's configuration
  std::string identity;                    ///< works with the same identity are the same
  std::optional<std::int64_t> batch_size;  ///< that a training run has
  std::optional<std::int64_t> max_steps;   ///< step at which a training run ends early

  [[nodiscard]] bool trains() const { return result.empty(); }
};

struct StudyCell {
  std::string name;
  std::vector<std::string> values;  ///< of every option of an axis, as written
  std::size_t row = 0;              ///< in the table; cells that differ in seeds share it
  std::vector<std::size_t> works;   ///< in the order in which they must run
};

struct StudySources;

/// A study with all its cells. The constructor reads the file, makes the cells and refuses what it
/// can refuse without data: unknown options, values that are not accepted, duplicate cells.
class Study {
 public:
  Study(StudyConfig config, const StudyCommands& commands);

  [[nodiscard]] const StudyConfig& config() const { return config_; }
  [[nodiscard]] const std::vector<StudyAxis>& axes() const { return axes_; }
  [[nodiscard]] const std::vector<StudyCell>& cells() const { return cells_; }
  [[nodiscard]] const std::vector<StudyWork>& works() const { return works_; }
  /// Number of lines in the table.
  [[nodiscard]] std::size_t rows() const { return rows_; }
  /// The published figure of each line of the table, if there is one.
  [[nodiscard]] const std::vector<std::optional<double>>& paper() const { return paper_; }
  [[nodiscard]] std::filesystem::path directory() const { return config_.output; }
  /// The configuration that starts every work of the cell.
  [[nodiscard]] std::filesystem::path cell_file(std::size_t cell) const;
  /// What a work's command last wrote to its streams.
  [[nodiscard]] std::filesystem::path log_file(const StudyWork& work) const;

  /// Lets the commands refuse each work that has no result yet, with data and labels; with `ranks`
  /// also what cannot start on this machine with so many. Refuses a directory that holds something
  /// else, or a study that has cells which this one lacks or in which they differ. Writes nothing.
  void check(const StudyCommands& commands, std::optional<int> ranks) const;
  /// Writes the study's directory: its file, and a run directory and a configuration for each cell.
  void write() const;

 private:
  void make_cells(const StudySources& sources, const StudyCommands& commands);
  std::size_t make_work(const std::string& command, const StudySources& sources,
                        const StudyCommands& commands, const std::vector<std::size_t>& picks,
                        std::optional<std::size_t> parent);
  void set_data(const std::string& command, Options& options, const StudySources& sources,
                std::optional<std::size_t> parent) const;
  void require_unique_cells() const;
  void read_paper();
  void require_paper_metric() const;
  [[nodiscard]] std::string cell_text(std::size_t cell) const;
  void require_same_cells(const StudyCommands& commands) const;
  [[nodiscard]] bool has_axis_of(const std::string& command) const;
  [[nodiscard]] std::string axis_name(const std::string& command,
                                      const std::vector<std::size_t>& picks) const;

  StudyConfig config_;
  std::vector<StudyAxis> axes_;
  std::vector<StudyCell> cells_;
  std::vector<StudyWork> works_;
  std::vector<std::string> commands_;  ///< those that the study runs
  std::vector<std::vector<std::pair<std::string, std::string>>> run_data_;  ///< of each work
  std::vector<std::optional<double>> paper_;
  std::size_t rows_ = 0;
  std::string stored_;  ///< the study file with all it refers to
};

/// What a work has come to.
struct StudyOutcome {
  bool done = false;
  std::string problem;  ///< why it is not done
  std::vector<std::pair<std::string, double>> metrics;
};

/// Whether evaluations have a metric of this name.
bool is_measure(const std::string& name);

/// Reads the outcome of one of the study's works from its directory.
StudyOutcome study_outcome(const Study& study, std::size_t work);

/// Waits until no other process runs the study in this directory, and keeps others from it. Throws
/// RefusedError after a minute.
Descriptor lock_study(const std::filesystem::path& directory);

/// Runs the works that are not done, one after the other, each as a process of `program`: on one
/// rank, or with mpirun on `ranks`. A work that fails does not stop the others. Returns 0, 1 if a
/// work has failed, or kExitStoppedEarly after a signal. The works hold the study's lock, too.
int run_missing_works(const Study& study, int ranks, const std::filesystem::path& program,
                      const Descriptor& lock);

/// Prints a line for each work that is not done, for job scripts: train or evaluate, command,
/// configuration, directory, log file and the directory of the run that it has to wait for or "-",
/// with tabs between them.
void print_missing_works(const Study& study, std::ostream& out);

/// Writes table.md, table.csv and study.html into the study's directory.
void write_study_tables(const Study& study);

}  // namespace simclr
