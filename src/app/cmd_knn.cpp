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
      .add("neighbors", knn.neighbors, "number of nearest training samples that vote on a label")
      .range(at_least(1).at_most(TopK::kMost))
      .add("temperature", knn.temperature,
           "T: a training sample's vote has the weight exp(cosine similarity / T)")
      .range(above(0));
  declare_evaluation_options(options, config);
  if (!invocation.parse(options)) return 0;

  EvaluationJob job(config, "knn", invocation.world);
  knn.classes = job.classes();
  validate(knn, job.train_samples());
  if (job.finish_dry_run()) return 0;
  const auto train = job.features(config.train_data, false);
  const auto test = job.features(config.test_data, false);
  job.report(knn_accuracy(train.h, test.h, knn, job.backend(), invocation.world), options, "");
  if (invocation.world.rank() == 0) refresh_report_of_checkpoint(job.encoder().file());
  return 0;
}

}  // namespace simclr
