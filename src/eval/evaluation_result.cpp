#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "result_file.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/json_text.hpp"
#include "simclr/core/log.hpp"
#include "simclr/data/labeled_data.hpp"
#include "simclr/eval/evaluation_job.hpp"
#include "simclr/io/array_file.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace fs = std::filesystem;
namespace {

/// The options on which a result depends: not places of files, nor how the work is done.
nlohmann::ordered_json deciding_options(const NamedValues& values) {
  EvaluationConfig any;
  Options shared("", "", {});
  declare_evaluation_options(shared, any);
  nlohmann::ordered_json object = options_json(values);
  for (const auto& [name, value] : shared.values()) {
    if (name != "precision" && name != "layer") object.erase(name);
  }
  return object;
}

/// The file that --predictions names; `origin`: of an existing one that may be replaced. Its
/// directory is created, as the result's is.
Output predictions_output(const fs::path& file, const std::string& origin) {
  return {.file = file,
          .option = "predictions",
          .creates_directories = true,
          .format = kPredictionsFormat,
          .origin = origin};
}

}  // namespace

void require_likely_writable_results(const EvaluationConfig& config) {
  if (config.output) require_likely_writable({.file = *config.output, .creates_directories = true});
  if (config.predictions) require_likely_writable(predictions_output(*config.predictions, ""));
}

EvaluationResult::EvaluationResult(const EvaluationJob& job, EvaluationConfig config,
                                   std::string protocol, const Options& options)
    : job_(&job),
      config_(std::move(config)),
      protocol_(std::move(protocol)),
      options_(json_text(options_json(options.values()))) {
  const LabeledData& train = job.train_data();
  const LabeledData& test = job.test_data();
  // Through text, so that it compares with what was read from a file.
  identity_ = json_text(EvaluationIdentity{{"protocol", protocol_},
                                           {"checkpoint_hash", job.encoder().checksum()},
                                           {"train_data", train.info.name},
                                           {"test_data", test.info.name},
                                           {"train_data_hash", hash_text(train.fingerprint)},
                                           {"test_data_hash", hash_text(test.fingerprint)},
                                           {"options", deciding_options(options.values())},
                                           {"defaults", deciding_options(options.defaults())}});
  on_root(job.world(), [&] { choose_output(); });
}

void EvaluationResult::choose_output() {
  const auto identity = EvaluationIdentity::parse(identity_);
  if (config_.output) {
    output_ = *config_.output;
    require_own_result(output_, "output", identity);
  } else if (config_.name) {
    output_ = result_directory(job_->encoder().file()) / (*config_.name + ".json");
    require_own_result(output_, "name", identity);
  } else {
    output_ = free_result_file(result_directory(job_->encoder().file()),
                               fmt::format("{}-step-{:010}", protocol_, job_->encoder().step()),
                               identity);
  }
  for (const Output& output : outputs()) require_likely_writable(output);
}

std::vector<Output> EvaluationResult::outputs() const {
  std::vector<Output> all{{.file = output_, .creates_directories = true}};
  if (config_.predictions) all.push_back(predictions_output(*config_.predictions, identity_));
  return all;
}

Predictions::Keep EvaluationResult::kept_predictions() const {
  return config_.predictions ? Predictions::Keep::scores : Predictions::Keep::best;
}

bool EvaluationResult::finish_checks() const {
  if (!job_->config().dry_run) {
    on_root(job_->world(), [&] {
      for (const Output& output : outputs()) require_writable(output);
    });
    return false;
  }
  job_->require_caches_fit();
  if (job_->world().rank() == 0) {
    std::cout << fmt::format(
        "dry run: would evaluate {} by {}: {} training and {} test images of {} classes, on {} "
        "rank{}; result in {}\n",
        job_->encoder().file().string(), protocol_, job_->train_data().labeled(),
        job_->test_data().labeled(), job_->classes(), job_->world().size(),
        job_->world().size() == 1 ? "" : "s", output_.string());
  }
  return true;
}

void EvaluationResult::report(const Predictions& part, const std::string& details) const {
  const ClassAccuracy measured = class_accuracy(part, job_->world());
  const Accuracy& accuracy = measured.all;
  on_root(job_->world(), [&] {
    write_result(fmt::format("top-1 {:.2f} %, top-5 {:.2f} % of {} test samples",
                             100 * accuracy.top1, 100 * accuracy.top5, accuracy.samples),
                 to_json(measured), details);
  });
  if (!config_.predictions) return;
  write_predictions(*config_.predictions, part,
                    {.protocol = protocol_,
                     .checkpoint_hash = job_->encoder().checksum(),
                     .test_data_hash = hash_text(job_->test_data().fingerprint),
                     .evaluation = identity_,
                     .samples = job_->test_data().samples},
                    job_->world());
  log::info("{}: predictions in {}", protocol_, config_.predictions->string());
}

void EvaluationResult::report(const std::string& headline, const std::string& details) const {
  const auto samples = fmt::format(R"({{"samples": {}}})", job_->test_samples());
  on_root(job_->world(), [&] { write_result(headline, samples, details); });
}

void EvaluationResult::write_result(const std::string& headline, const std::string& measured,
                                    const std::string& details) const {
  // First, so that the number is not lost if the file cannot be written.
  log::info("{}: {}; {} ({})", protocol_, headline, job_->encoder().file().filename().string(),
            output_.string());
  const auto identity = EvaluationIdentity::parse(identity_);
  nlohmann::ordered_json result{{"protocol", protocol_}};
  nlohmann::ordered_json lists;
  add_measured(measured, result, lists);
  result.update({
      {"classes", job_->classes()},
      {"train_samples", job_->train_data().labeled()},
      {"train_data", job_->train_data().info.name},
      {"test_data", job_->test_data().info.name},
      {"train_data_hash", identity.at("train_data_hash")},
      {"test_data_hash", identity.at("test_data_hash")},
      {"train_unlabeled", job_->train_data().unlabeled()},
      {"test_unlabeled", job_->test_data().unlabeled()},
      {"checkpoint", job_->encoder().file().filename().string()},
      {"checkpoint_hash", job_->encoder().checksum()},
      {"step", job_->encoder().step()},
      {"layer", job_->config().layer},
      {"ranks", job_->world().size()},
  });
  const auto& names = job_->train_data().info.class_names;
  if (!names.empty()) lists["class_names"] = names;
  if (!details.empty()) result.update(nlohmann::ordered_json::parse(details));
  result["options"] = nlohmann::ordered_json::parse(options_);
  write_file(output_, result_text(result, lists));
}

}  // namespace simclr
