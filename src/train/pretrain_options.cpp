#include <algorithm>
#include <array>

#include "simclr/train/pretrain_config.hpp"

namespace simclr {
namespace {

void declare_model(Options& o, PretrainConfig& c) {
  o.group("data")
      .add("data", c.data, "training images: a directory of shards (simclr pack)")
      .add("eval-data", c.eval_data, "labelled images for evaluation jobs; not read by pretrain")
      .add("image-size", c.image_size, "side of the square views, pixels")
      .choice<CacheMode>("cache", c.cache,
                         {{"auto", CacheMode::automatic},
                          {"node", CacheMode::node},
                          {"distributed", CacheMode::distributed},
                          {"none", CacheMode::none}},
                         "where pixels are kept: node: a copy a node; distributed: spread over all "
                         "ranks; none: in the files")
      .choice<Shuffle>("shuffle", c.shuffle,
                       {{"full", Shuffle::full},
                        {"block", Shuffle::block},
                        {"off", Shuffle::off},
                        {"on", Shuffle::full}},
                       "order of the samples");
  o.group("encoder and projection head")
      .add("encoder", c.encoder, "resnet18, 34, 50, 101, 152 or 200")
      .add("width", c.width, "multiplies every channel count")
      .choice<StemChoice>("stem", c.stem,
                          {{"auto", StemChoice::automatic},
                           {"imagenet", StemChoice::imagenet},
                           {"cifar", StemChoice::cifar}},
                          "first layers; auto: cifar up to 32 pixels")
      .flag("projection-shortcut", c.projection_shortcut_everywhere,
            "1x1 shortcut in the first block of every group, as Google's code has it")
      .choice<HeadKind>("head", c.head.kind,
                        {{"nonlinear", HeadKind::nonlinear},
                         {"linear", HeadKind::linear},
                         {"none", HeadKind::none}},
                        "projection head")
      .add("head-layers", c.head.layers, "linear layers of a nonlinear head")
      .add("head-width", c.head.hidden, "hidden width of the head; 0: the encoder's")
      .add("embedding-dim", c.head.embedding, "length of z");
}

void declare_training(Options& o, PretrainConfig& c) {
  o.group("batch and loss")
      .add("batch-size", c.batch_size, "images of the global batch, over all ranks")
      .add("bn-group", c.bn_group,
           "batch normalisation over: global, local (one group a rank) or K samples")
      .choice<LossKind>("loss", c.loss, {{"nt-xent", LossKind::nt_xent}}, "contrastive loss")
      .add("temperature", c.temperature, "of NT-Xent");
  o.group("augmentation")
      .add("augment", c.augment, "any of crop,flip,color,gray,blur, in that order, or none")
      .add("color-strength", c.color_strength, "s of the colour jitter")
      .flag("additive-brightness", c.additive_brightness, "brightness as in SimCLR v1's code")
      .choice<Interpolation>(
          "interpolation", c.interpolation,
          {{"bicubic", Interpolation::bicubic}, {"bilinear", Interpolation::bilinear}},
          "of the crop's resize")
      .add("mean", c.mean, "r,g,b subtracted from pixels in [0,1], last")
      .add("std", c.std, "r,g,b to divide by after that");
  o.group("optimiser and length")
      .choice<OptimizerKind>("optimizer", c.optimizer,
                             {{"lars", OptimizerKind::lars},
                              {"sgd", OptimizerKind::sgd},
                              {"adamw", OptimizerKind::adamw}},
                             "optimiser")
      .add("learning-rate", c.learning_rate, "base learning rate, before scaling")
      .choice<LearningRateScaling>("lr-scaling", c.lr_scaling,
                                   {{"linear", LearningRateScaling::linear},
                                    {"sqrt", LearningRateScaling::sqrt},
                                    {"none", LearningRateScaling::none}},
                                   "linear: x N/256, sqrt: x sqrt(N)")
      .add("warmup-epochs", c.warmup_epochs, "linear warm-up from 0; fractions too")
      .add("weight-decay", c.weight_decay, "weight decay")
      .add("momentum", c.momentum, "momentum (AdamW: beta1)")
      .add("epochs", c.epochs, "passes over the data; the schedule's length")
      .add("max-steps", c.max_steps, "stop early after this many steps; may be raised later");
}

void declare_run(Options& o, PretrainConfig& c) {
  o.group("device");
  declare_device_options(o, c.device);
  declare_precision_options(o, c.device);
  declare_rank_options(o, c.device);
  o.add("loader-threads", c.loader_threads, "threads a rank that make views; 0: as --threads")
      .choice<Recompute>("recompute", c.recompute,
                         {{"none", Recompute::none}, {"blocks", Recompute::blocks}},
                         "trade time for memory; exact");
  o.group("run")
      .add("run-dir", c.run_dir, "directory of this run: metrics, checkpoints, state")
      .add("seed", c.seed, "of everything random")
      .add("log-every", c.log_every, "steps between metrics rows and log lines")
      .add("checkpoint-every-epochs", c.checkpoint_every_epochs, "0: never by epochs")
      .add("checkpoint-every-minutes", c.checkpoint_every_minutes, "0: never by time")
      .add("checkpoint-steps", c.checkpoint_steps, "extra checkpoints that --keep spares, 0,5,...")
      .add("keep", c.keep, "newest checkpoints to keep")
      .add("resume", c.resume, "auto, none, or a checkpoint file")
      .add("stop-before-minutes", c.stop_before_minutes,
           "checkpoint and stop this long before the job's time limit (SLURM_JOB_END_TIME)")
      .add("hash-every", c.hash_every,
           "steps between comparisons of the ranks' weights; 0: only before checkpoints")
      .add("divergence-steps", c.divergence_steps,
           "stop when the loss has fallen back to guessing for so many steps; 0: never")
      .flag("trace-ops", c.trace_ops, "print every op's min, max, mean and NaN count, first step");
}

/// In configurations of earlier runs.
const std::vector<RenamedValue>& renamed_values() {
  static const std::vector<RenamedValue> values{
      {"cache", "device", "auto"},  // a copy in the GPU's memory, for a GPU that rendered the views
  };
  return values;
}

}  // namespace

void declare_pretrain_options(Options& options, PretrainConfig& config) {
  declare_model(options, config);
  declare_training(options, config);
  declare_run(options, config);
}

void read_stored_options(Options& options, const std::string& text, const std::string& origin) {
  options.parse_text(text, origin, renamed_values());
}

bool may_change_on_resume(const std::string& option) {
  static constexpr std::array kMayChange{"max-steps",
                                         "threads",
                                         "loader-threads",
                                         "cache",
                                         "device",
                                         "recompute",
                                         "log-every",
                                         "checkpoint-every-epochs",
                                         "keep",
                                         "resume",
                                         "run-dir",
                                         "checkpoint-every-minutes",
                                         "eval-data",
                                         "trace-ops",
                                         "hash-every",
                                         "divergence-steps",
                                         "checkpoint-steps",
                                         "stop-before-minutes",
                                         "allow-slow-bf16",
                                         "collectives",
                                         "share-device",
                                         "plan-cache",
                                         "timeout-seconds"};
  return std::find(kMayChange.begin(), kMayChange.end(), option) != kMayChange.end();
}

}  // namespace simclr
