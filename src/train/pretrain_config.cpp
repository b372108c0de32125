#include "simclr/train/pretrain_config.hpp"

#include "simclr/core/check.hpp"
#include "simclr/data/labeled_data.hpp"

namespace simclr {
namespace {

constexpr double kMostEpochsBetween = 1e9;
constexpr double kProbeLearningRate = 0.1;  // times N/256
constexpr double kMostBank = 1e9;

void declare_probe(Options& options, ProbeOptions& probe) {
  options.group("monitors")
      .choice<Probe>("probe", probe.probe, {{"off", Probe::off}, {"on", Probe::on}},
                     "train a linear classifier on the encoder's output beside the encoder, which "
                     "stays as it is without: probe_loss and probe_top1 in metrics.jsonl. Needs "
                     "labels, of some images at least")
      .add("probe-every-epochs", probe.probe_every_epochs,
           "epochs between measurements of its accuracy on --eval-data, which write rows with "
           "probe_eval_top1 to metrics.jsonl; 0: none")
      .range(at_least(0).at_most(kMostEpochsBetween))
      .may_change_on_resume();
}

void declare_monitors(Options& options, MonitorOptions& monitors) {
  options.group("monitors")
      .add("knn-every-epochs", monitors.knn_every_epochs,
           "epochs between measurements of the nearest-neighbor accuracy on --eval-data, which "
           "write rows with knn_top1 to metrics.jsonl; 0: none")
      .range(at_least(0).at_most(kMostEpochsBetween))
      .may_change_on_resume()
      .add("knn-bank", monitors.knn_bank,
           "number of training images among which nearest neighbors are looked for, drawn once for "
           "all measurements; unset: the labeled ones, at most 50,000")
      .range(at_least(1).at_most(kMostBank))
      .may_change_on_resume()
      .add("eval-loss-every-epochs", monitors.eval_loss_every_epochs,
           "epochs between measurements of the contrastive loss on --eval-data, which needs no "
           "labels; rows with eval_loss in metrics.jsonl; 0: none")
      .range(at_least(0).at_most(kMostEpochsBetween))
      .may_change_on_resume();
}

}  // namespace

void PretrainConfig::declare(Options& options) {
  declare_data_options(options, *this);
  options.group("encoder and projection head");
  declare_encoder(options, *this);
  declare_head(options, *this);
  options.group("batch and loss")
      .add("batch-size", batch_size,
           "images of a step, summed over all ranks; each gives 2 views, and the loss compares "
           "those of different images")
      .range(at_least(2).at_most(kMostBatchSamples));
  declare_batch_norm(options, *this);
  declare_loss(options, *this);
  options.group("augmentation");
  declare_augmentation(options, *this);
  declare_branches(options, *this);
  declare_optimizer_options(options, *this);
  declare_probe(options, *this);
  declare_monitors(options, *this);
  declare_training_device_options(options, *this);
  declare_recompute(options, *this);
  declare_run_options(options, *this);
}

void PretrainConfig::note_given(const Options& /*options*/) { complete_loss(*this); }

void PretrainConfig::validate() const {
  EncoderTraining::validate();
  validate_loss(*this);
  if (knn_bank && knn_every_epochs == 0) {
    refuse("option --knn-bank: needs --knn-every-epochs above 0");
  }
  if (probe_every_epochs > 0 && probe == Probe::off) {
    refuse("option --probe-every-epochs: needs --probe on");
  }
  if (!eval_data.empty()) return;
  if (probe_every_epochs > 0) {
    refuse("option --probe-every-epochs: needs --eval-data, the labeled images to classify");
  }
  if (knn_every_epochs > 0) {
    refuse("option --knn-every-epochs: needs --eval-data, the labeled images to classify");
  }
  if (eval_loss_every_epochs > 0) {
    refuse("option --eval-loss-every-epochs: needs --eval-data, images that are not trained on");
  }
}

void PretrainConfig::prepare(const ShardSet& data_set, OpenWeights /*open*/,
                             Communicator& /*world*/) {
  const ShardSetInfo& info = data_set.info();
  if (loss == LossKind::supcon && info.labeled_samples == 0) {
    refuse("option --loss: supcon needs labels, and {} has none", data.string());
  }
  if (loss == LossKind::supcon) require_class_count(info, "loss");
  if (probe == Probe::off) return;
  if (info.labeled_samples == 0) {
    refuse("option --probe: {} has no labels, from which a probe learns", data.string());
  }
  require_class_count(info, "probe");
  if (probe_classes > 0 && probe_classes != info.classes) {
    refuse("option --classes: {} has {} classes, not {}; leave the option out", data.string(),
           info.classes, probe_classes);
  }
  probe_classes = info.classes;
}

void PretrainConfig::declare_without_data(Options& options) {
  options
      .add("classes", probe_classes,
           "number of classes that --probe on learns, with --samples; 0: not known")
      .range(at_least(0).at_most(static_cast<double>(kMostClasses)));
}

void PretrainConfig::prepare_without_data(std::int64_t /*samples*/) {
  if (probe == Probe::off || probe_classes > 0) return;
  refuse("option --classes: missing; give the number of classes beside --samples and --probe on");
}

std::unique_ptr<TrainingConfig> PretrainConfig::with_defaults() const {
  return std::make_unique<PretrainConfig>();
}

std::unique_ptr<EncoderTraining> PretrainConfig::copy() const {
  return std::make_unique<PretrainConfig>(*this);
}

PretrainingSpec PretrainConfig::program_spec(int rank, int world_size) const {
  PretrainingSpec spec;
  spec.encoder = encoder_spec();
  spec.head = head;
  spec.batch_norm = batch_norm_spec(world_size);
  spec.optimizer = optimizer_spec();
  spec.local_samples = samples_per_rank(world_size);
  spec.image_size = image_size;
  spec.loss = contrastive_loss(*this);
  spec.normalize = normalize == Switch::on;
  spec.activations = activation_type(device.precision);
  if (probe == Probe::on) {
    if (probe_classes == 0) refuse("option --probe: needs --data, whose labels say the classes");
    spec.probe_classes = probe_classes;
  }
  spec.recompute_blocks = recompute == Recompute::blocks;
  spec.rank = rank;
  spec.world_size = world_size;
  return spec;
}

Objective PretrainConfig::objective() const {
  const std::int64_t dimensions =
      head.layer_count() > 0 ? head.embedding : encoder_spec().feature_channels();
  const ContrastiveLoss contrast = contrastive_loss(*this);
  Objective objective =
      contrastive_objective(contrast, normalize == Switch::on, batch_size, dimensions);
  if (probe == Probe::on) add_probe(objective, contrast.sum_count() + 1);
  objective.measured = {{"probe_eval_top1", "Top-1 of the probe on held-out images", "", "%"},
                        {"knn_top1", "Nearest-neighbor top-1", "kNN top-1", "%"},
                        {"eval_loss", "Loss on held-out images", "", ""}};
  return objective;
}

Task PretrainConfig::task(int rank, int world_size) const {
  const PretrainingSpec spec = program_spec(rank, world_size);
  Task task{.program = record_pretraining(spec),
            .objective = objective(),
            .inputs = {views_input()},
            .results = {"sums", "z_std"},
            .optimizer = spec.optimizer,
            .ranks_per_bn_group = spec.batch_norm.ranks_per_group,
            .advice = "lower --learning-rate, lengthen --warmup-epochs or check the data"};
  if (spec.probe_classes > 0 || loss == LossKind::supcon) task.inputs.push_back(labels_input());
  if (spec.probe_classes > 0) {
    task.results.emplace_back("probe_sums");
    task.probe_rate =
        scaled_learning_rate(kProbeLearningRate, LearningRateScaling::linear, batch_size);
  }
  return task;
}

}  // namespace simclr
