#include "simclr/eval/classifier_evaluation.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "result_file.hpp"
#include "simclr/core/log.hpp"
#include "simclr/eval/evaluation_job.hpp"
#include "simclr/eval/predictions.hpp"
#include "simclr/io/atomic_file.hpp"

namespace simclr {
namespace {

constexpr std::int64_t kMostBatch = 64;

/// Images that a rank classifies at a time: no more than it trains on, so that measuring the model
/// needs no more memory than training it.
std::int64_t batch_of(const ClassifierConfig& config, int ranks) {
  return std::min(kMostBatch, config.samples_per_rank(ranks));
}

using Json = nlohmann::ordered_json;

/// The model with everything before the classifier frozen: ops [0, backward_begin) evaluate.
Executor make_executor(const FrozenEncoder& encoder, DType activations, std::int64_t batch,
                       Backend& backend, const Communicators& communicators, int ranks) {
  const ModelDescription& model = encoder.model();
  return {record_classifier({.encoder = model.encoder,
                             .head = model.head,
                             .head_layers = model.head_layers(),
                             .frozen_groups = kEncoderGroups,
                             .batch = batch,
                             .image_size = model.image_size,
                             .activations = activations,
                             .classes = model.classifier->classes,
                             .global_batch = batch,
                             .world_size = ranks}),
          backend, communicators, ExecutorOptions{.stage_inputs = true}};
}

std::string result_of(ClassifierConfig& config, const EncoderJob& job,
                      const ClassAccuracy& accuracy, int ranks) {
  const LabeledSamples& labeled = config.labeled_samples();
  const LabeledData& test = config.test_data();
  Json result{{"protocol", config.command()}};
  Json lists;
  add_measured(to_json(accuracy), result, lists);
  result.update(Json{{"classes", config.classes},
                     {"labels", labeled.size()},
                     {"labels_per_class", {labeled.fewest_of_class, labeled.most_of_class}},
                     {"labels_hash", labeled.hash}});
  result.update(Json::parse(config.result_details()));
  result.update(Json{{"train_data", config.data.filename().string()},
                     {"test_data", test.info.name},
                     {"test_data_hash", hash_text(test.fingerprint)},
                     {"test_unlabeled", test.unlabeled()},
                     {"checkpoint", job.encoder().file().filename().string()},
                     {"checkpoint_hash", job.encoder().checksum()},
                     {"step", job.encoder().step()},
                     {"ranks", ranks}});
  result["options"] = options_json(declared_options(config).values());
  if (!config.class_names().empty()) lists["class_names"] = config.class_names();
  return result_text(result, lists);
}

}  // namespace

bool evaluate_run(ClassifierConfig& config, const std::function<bool()>& goes_on,
                  Communicator& world) {
  EvaluationConfig evaluation;
  evaluation.checkpoint = config.run_dir;
  evaluation.cache = config.cache;
  evaluation.device = config.device;
  evaluation.device.precision = Precision::fp32;
  EncoderJob job(evaluation, world);
  const LabeledData& test = config.test_data();
  const std::int64_t batch = batch_of(config, world.size());
  const auto store = only_labeled(job.open(test.set, batch), test);
  const auto lane = job.backend().make_communicator(world, Lane::compute);
  Executor executor = make_executor(job.encoder(), job.activations(), batch, job.backend(),
                                    {lane.get(), nullptr, nullptr}, world.size());
  job.encoder().load_all_into(executor);
  EvaluationLoader loader(*store, evaluation_images(job.encoder().model(), job.activations(), batch,
                                                    job.threads(), world));
  const auto keep = config.predictions ? Predictions::Keep::scores : Predictions::Keep::best;
  const std::optional<Predictions> predictions = classify_images(executor, loader, keep, goes_on);
  if (!predictions) return false;
  const ClassAccuracy accuracy = class_accuracy(*predictions, world);
  on_root(world, [&] {
    const EvaluationIdentity identity{
        {"protocol", config.command()}, {"checkpoint_hash", job.encoder().checksum()},
        {"test_data", test.info.name},  {"test_data_hash", hash_text(test.fingerprint)},
        {"options", Json::object()},    {"defaults", Json::object()}};
    const auto file = free_result_file(
        config.run_dir / "eval",
        fmt::format("{}-step-{:010}", config.command(), job.encoder().step()), identity);
    log::info("{}: top-1 {:.2f} %, top-5 {:.2f} % of {} test samples, after {} labeled images ({})",
              config.command(), 100 * accuracy.all.top1, 100 * accuracy.all.top5,
              accuracy.all.samples, config.labeled_samples().size(), file.string());
    std::filesystem::create_directories(file.parent_path());
    write_file(file, result_of(config, job, accuracy, world.size()));
  });
  if (!config.predictions) return true;
  write_predictions(*config.predictions, *predictions,
                    {.protocol = config.command(),
                     .checkpoint_hash = job.encoder().checksum(),
                     .test_data_hash = hash_text(test.fingerprint),
                     .evaluation = config.predictions_origin(),
                     .samples = test.samples},
                    world);
  log::info("{}: predictions in {}", config.command(), config.predictions->string());
  return true;
}

}  // namespace simclr
