#include <filesystem>
#include <memory>

#include "command.hpp"
#include "simclr/eval/quality.hpp"
#include "simclr/report/report.hpp"
#include "simclr/study/study.hpp"

namespace simclr {
namespace {

struct QualityCommandLine {
  EvaluationConfig config;
  std::filesystem::path data;
  Options options{"quality", "how good a checkpoint's features are, without labels", {"quality"}};

  QualityCommandLine() {
    options.group("data and result")
        .add("data", data, "images to measure on: a directory of shards; labels are not read")
        .argument("DIR")
        .may_differ_between_ranks()
        .add("output", config.output,
             "JSON file to write the result to; unset: eval/quality-step-STEP.json in the run "
             "directory, longer where a result of other data or options has this name");
    declare_dry_run(options, config);
    declare_encoder_options(options, config);
    options.require_given({"data"}).example(
        "simclr quality --checkpoint runs/r50 --data shards/test");
  }
};

}  // namespace

DeclaredCommand declare_quality() {
  const auto quality = std::make_shared<QualityCommandLine>();
  return {.target = quality, .options = {quality, &quality->options}};
}

int run_quality(Invocation& invocation) {
  QualityCommandLine quality;
  if (!invocation.parse(quality.options)) return 0;
  const auto written =
      evaluate_quality(quality.config, quality.data, quality.options, invocation.world);
  if (!written.empty() && !quality.config.output) {
    refresh_report(written.parent_path().parent_path(), Pairs::render);
  }
  return 0;
}

}  // namespace simclr
