#include <filesystem>
#include <optional>

#include "command.hpp"
#include "output_file.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/options.hpp"
#include "simclr/report/report.hpp"

namespace simclr {

int run_report(Invocation& invocation) {
  std::filesystem::path run_dir;
  std::optional<std::filesystem::path> output;
  Options options("report", "one page of a run: curves, evaluations, augmented pairs, settings",
                  {"report"});
  options.positional("run-dir", run_dir, "directory of the run to report on")
      .add("output", output, "file to write; unset: report.html in the run directory");
  if (!options.parse(invocation.arguments)) return 0;
  if (run_dir.empty()) refuse("report: name a run directory");
  if (output) require_directory_of(*output);
  const std::filesystem::path target = output.value_or(run_dir / "report.html");
  write_report(run_dir, target, Pairs::render);
  log::info("wrote {}", target.string());
  return 0;
}

}  // namespace simclr
