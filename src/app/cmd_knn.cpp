#include <algorithm>

#include "command.hpp"
#include "simclr/core/check.hpp"
#include "simclr/eval/evaluation_job.hpp"
#include "simclr/eval/knn.hpp"
#include "simclr/program/ops.hpp"
#include "simclr/report/report.hpp"

namespace simclr {

int run_knn(Invocation& invocation) {
  EvaluationConfig config;
  KnnConfig knn;
  Options options("knn", "nearest-neighbor accuracy of a checkpoint's features", {"knn"});
  options.group("neighbors")
      .add("neighbors", knn.neighbors,
           "number of nearest training samples that vote on a label; unless it is given, at most "
           "the number of training samples")
      .range(at_least(1).at_most(TopK::kMost))
      .add("temperature", knn.temperature,
           "T: a training sample's vote has the weight exp(cosine similarity / T)")
      .range(above(0));
  declare_evaluation_options(options, config);
  options.example(
      "simclr knn --checkpoint runs/r50 --train-data shards/train \\\n"
      "      --test-data shards/test");
  if (!invocation.parse(options)) return 0;

  const auto check = [&](std::int64_t samples) {
    if (!options.given("neighbors")) knn.neighbors = std::min(knn.neighbors, samples);
    validate(knn, samples);
  };
  if (finish_dry_run_elsewhere(config, "knn", invocation.world, check)) return 0;
  EvaluationJob job(config, "knn", options, invocation.world);
  knn.classes = job.classes();
  knn.keep = job.kept_predictions();
  check(job.train_samples());
  if (job.finish_checks()) return 0;
  const LabeledFeatures train = job.train_features();
  const LabeledFeatures test = job.test_features();
  job.report(knn_predictions(train, test, knn, job.backend(), invocation.world),
             fmt::format("{{\"neighbors\": {}}}", knn.neighbors));
  if (invocation.world.rank() == 0 && !config.output)
    refresh_report_of_checkpoint(job.encoder().file());
  return 0;
}

}  // namespace simclr
