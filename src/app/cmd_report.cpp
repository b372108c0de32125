#include <filesystem>
#include <optional>
#include <vector>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/log.hpp"
#include "simclr/core/options.hpp"
#include "simclr/io/writable.hpp"
#include "simclr/report/report.hpp"

namespace simclr {
namespace fs = std::filesystem;

int run_report(Invocation& invocation) {
  std::vector<fs::path> run_dirs;
  std::optional<fs::path> output;
  Options options(
      "report",
      "one page of a run (curves, evaluations, augmented pairs, settings), or of several "
      "runs over each other",
      {"report"});
  options.positional_list("run-dir", run_dirs, "directory of the run to report on, or several")
      .argument("RUN")
      .add("output", output,
           "file to write; unset: report.html in the run directory, for several runs report.html "
           "in the working directory")
      .require_given({"run-dir"})
      .example("simclr report runs/a runs/b --output comparison.html");
  if (!options.parse(invocation.arguments)) return 0;
  if (output) require_likely_writable({.file = *output, .begins = "<!DOCTYPE html>"});
  const fs::path own = run_dirs.size() == 1 ? run_dirs.front() / "report.html" : "report.html";
  const fs::path target = output.value_or(own);
  write_report(run_dirs, target, Pairs::render);
  log::info("wrote {}", target.string());
  return 0;
}

}  // namespace simclr
