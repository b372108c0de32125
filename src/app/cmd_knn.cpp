#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "evaluation.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/eval/knn.hpp"
#include "simclr/eval/retrieval.hpp"
#include "simclr/program/ops.hpp"

namespace simclr {
namespace {

class KnnEvaluation final : public Evaluation {
 public:
  void declare(Options& options) override {
    options.group("neighbors")
        .add("neighbors", knn_.neighbors,
             "number of nearest training samples that vote on a label; unless it is given, at most "
             "the number of training samples")
        .range(at_least(1).at_most(TopK::kMost))
        .add("temperature", knn_.temperature,
             "T: a training sample's vote has the weight exp(cosine similarity / T)")
        .range(above(0))
        .flag("retrieval", retrieval_,
              "also search for each test sample among the others: recall at 1, 5 and 10, mAP@R");
  }

  void validate(const Options& options) override { neighbors_given_ = options.given("neighbors"); }

  void check_data(std::int64_t samples, const std::vector<std::int64_t>& /*labels*/) override {
    if (!neighbors_given_) knn_.neighbors = std::min(knn_.neighbors, samples);
    simclr::validate(knn_, samples);
  }

  PreparedEvaluation prepare(EvaluationJob& job, const EvaluationConfig& config,
                             const Options& options) override {
    auto result = std::make_unique<EvaluationResult>(job, config, "knn", options);
    knn_.classes = job.classes();
    knn_.keep = result->kept_predictions();
    check_data(job.train_samples(), {});
    if (retrieval_ && !any_to_retrieve(job.test_labels())) {
      refuse(
          "option --retrieval: no two samples of the test data have the same label, so that there "
          "is nothing to find");
    }
    const auto work = [this, &job, &to = *result] {
      const LabeledFeatures train = job.train_features();
      const LabeledFeatures test = job.test_features();
      const auto predictions = knn_predictions(train, test, knn_, job.backend(), job.world());
      to.report(predictions, json_text(details(test, job)));
    };
    return {std::move(result), work};
  }

 private:
  [[nodiscard]] nlohmann::ordered_json details(const LabeledFeatures& test,
                                               EvaluationJob& job) const {
    nlohmann::ordered_json json{{"neighbors", knn_.neighbors}};
    if (!retrieval_) return json;
    const Retrieval found = measure_retrieval(test, job.backend(), job.world());
    for (std::size_t k = 0; k < found.recall.size(); ++k) {
      json[fmt::format("recall_at_{}", Retrieval::kPlaces[k])] = found.recall[k];
    }
    json["map_at_r"] = found.map_at_r;
    json["retrieval_queries"] = found.queries;
    json["retrieval_left_out"] = found.left_out;
    return json;
  }

  KnnConfig knn_;
  bool retrieval_ = false;
  bool neighbors_given_ = false;
};

}  // namespace

std::unique_ptr<Evaluation> make_knn_evaluation() { return std::make_unique<KnnEvaluation>(); }

}  // namespace simclr
