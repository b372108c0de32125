#include <algorithm>

#include "simclr/train/pretrain_config.hpp"

namespace simclr {
namespace {

// Four of the first layer's 64 channels: backends take activations of three channels for images.
constexpr double kNarrowest = 4.0 / 64;
// Far beyond what anybody trains: typing errors end here and not in arithmetic.
constexpr double kWidest = 256;
constexpr int kMostHeadLayers = 100;
constexpr double kMostEpochs = 1e9;

bool is_bn_group(const std::string& text) {
  std::int64_t samples = 0;
  return text == "global" || text == "local" || read_value(text, samples, at_least(1));
}

/// Each name once, and "none" alone. The names themselves are checked as known ones.
bool is_augmentation_list(const std::string& text) {
  std::vector<std::string> names;
  if (!read_value(text, names, any_number()) || names.empty()) return false;
  std::ranges::sort(names);
  const bool none = std::ranges::binary_search(names, "none");
  return std::ranges::adjacent_find(names) == names.end() && (!none || names.size() == 1);
}

void declare_data(Options& o, PretrainConfig& c) {
  o.group("data")
      .add("data", c.data, "training images: a directory of shards, as simclr pack writes them")
      .add("eval-data", c.eval_data,
           "labeled test images for the evaluation jobs: a directory of shards; pretrain itself "
           "does not read them")
      .may_change_on_resume()
      .add("image-size", c.image_size, "side of the square views, in pixels")
      .range(at_least(kSmallestImageSize).at_most(kLargestImageSize))
      .choice<CacheMode>("cache", c.cache,
                         {{"auto", CacheMode::automatic},
                          {"node", CacheMode::node},
                          {"distributed", CacheMode::distributed},
                          {"none", CacheMode::none}},
                         "where stored images are kept. auto: node if they fit, else distributed; "
                         "node: one copy in each node's shared memory; distributed: spread over "
                         "the memory of all ranks; none: read from the files for every batch")
      .may_change_on_resume()
      .choice<Shuffle>("shuffle", c.shuffle,
                       {{"full", Shuffle::full},
                        {"block", Shuffle::block},
                        {"off", Shuffle::off},
                        {"on", Shuffle::full}},
                       "order of the samples in an epoch. full or on: a new permutation of all "
                       "samples; block: permuted blocks, shuffled within a window, for reading "
                       "with --cache none; off: as stored, the same in every epoch");
}

void declare_model(Options& o, PretrainConfig& c) {
  o.group("encoder and projection head")
      .add("encoder", c.encoder, "ResNet to train")
      .known(known_encoders())
      .add("width", c.width, "multiplies the number of channels of every layer of the encoder")
      .range(at_least(kNarrowest).at_most(kWidest))
      .choice<StemChoice>("stem", c.stem,
                          {{"auto", StemChoice::automatic},
                           {"imagenet", StemChoice::imagenet},
                           {"cifar", StemChoice::cifar}},
                          "first layers of the encoder. imagenet: 7x7 convolution of stride 2 and "
                          "max pooling; cifar: 3x3 convolution of stride 1; auto: cifar for views "
                          "of up to 32 pixels, else imagenet")
      .flag("projection-shortcut", c.projection_shortcut_everywhere,
            "use a 1x1 convolution as shortcut in the first block of every group, as Google's "
            "SimCLR code does, instead of only where the shape changes")
      .choice<HeadKind>("head", c.head.kind,
                        {{"nonlinear", HeadKind::nonlinear},
                         {"linear", HeadKind::linear},
                         {"none", HeadKind::none}},
                        "projection head between encoder and loss. nonlinear: linear layers with "
                        "batch norm and ReLU between them; linear: one layer; none: the loss "
                        "takes the encoder's output")
      .add("head-layers", c.head.layers, "number of linear layers of a nonlinear head")
      .range(at_least(1).at_most(kMostHeadLayers))
      .add("head-width", c.head.hidden,
           "channels of the head's hidden layers; 0: as many as the encoder's output has")
      .range(at_least(0))
      .add("embedding-dim", c.head.embedding, "dimension of the embedding z that the loss compares")
      .range(at_least(1));
}

void declare_objective(Options& o, PretrainConfig& c) {
  o.group("batch and loss")
      .add("batch-size", c.batch_size,
           "images of a step, summed over all ranks; each gives 2 views")
      .range(at_least(1))
      .add("bn-group", c.bn_group,
           "views over which batch norm takes its statistics. global: those of all ranks; local: "
           "those of each rank alone; K: those of K images of the batch")
      .rule("global, local or a whole number of images, 1 or more", is_bn_group)
      .choice<LossKind>("loss", c.loss, {{"nt-xent", LossKind::nt_xent}},
                        "contrastive loss. nt-xent: the cross-entropy of finding the other view "
                        "of the same image in the batch")
      .add("temperature", c.temperature, "divides the cosine similarities in the loss")
      .range(above(0));
  o.group("augmentation")
      .add("augment", c.augment,
           "random operations that make a view, applied in this order whatever the order given; "
           "none: the resized image")
      .known({"crop", "flip", "color", "gray", "blur", "none"})
      .rule("any of crop,flip,color,gray,blur, each once, or none alone", is_augmentation_list)
      .add("color-strength", c.color_strength,
           "strength s of the color jitter: brightness, contrast and saturation change by up to "
           "0.8 s, the hue by up to 0.2 s of a full turn")
      .range(at_least(0).at_most(kMostColorStrength))
      .flag("additive-brightness", c.additive_brightness,
            "add to the brightness, as SimCLR v1's code does, instead of multiplying it")
      .choice<Interpolation>(
          "interpolation", c.interpolation,
          {{"bicubic", Interpolation::bicubic}, {"bilinear", Interpolation::bilinear}},
          "filter with which the crop is resized to a view")
      .add("mean", c.mean,
           "red, green and blue to subtract from a view's pixels, which lie in [0, 1]; goes with "
           "--std; unset: nothing")
      .range(any_number().items(3))
      .add("std", c.std,
           "red, green and blue by which the pixels are divided after that; goes with --mean")
      .range(above(0).items(3));
}

void declare_schedule(Options& o, PretrainConfig& c) {
  o.group("optimizer and length")
      .choice<OptimizerKind>("optimizer", c.optimizer,
                             {{"lars", OptimizerKind::lars},
                              {"sgd", OptimizerKind::sgd},
                              {"adamw", OptimizerKind::adamw}},
                             "update rule. lars: SGD with a learning rate for each layer; sgd: "
                             "with momentum; adamw: Adam with decoupled weight decay")
      .add("learning-rate", c.learning_rate, "base learning rate, before --lr-scaling")
      .range(at_least(0))
      .choice<LearningRateScaling>("lr-scaling", c.lr_scaling,
                                   {{"linear", LearningRateScaling::linear},
                                    {"sqrt", LearningRateScaling::sqrt},
                                    {"none", LearningRateScaling::none}},
                                   "how the learning rate follows the batch size N. linear: "
                                   "multiplied by N/256; sqrt: by the square root of N; none: "
                                   "not at all")
      .add("warmup-epochs", c.warmup_epochs,
           "epochs, also a fraction of one, in which the learning rate rises linearly from 0; a "
           "cosine takes it back to 0 afterwards")
      .range(at_least(0))
      .add("weight-decay", c.weight_decay,
           "weight decay; batch norm parameters and biases have none")
      .range(at_least(0))
      .add("momentum", c.momentum, "momentum of lars and sgd; beta1 of adamw")
      .range(at_least(0).below(1))
      .add("epochs", c.epochs, "passes over the data: the length of the learning rate's schedule")
      .range(at_least(1).at_most(kMostEpochs))
      .add("max-steps", c.max_steps,
           "stop after this many steps although the schedule goes on; a later start may raise it")
      .range(at_least(0))
      .may_change_on_resume();
}

void declare_device(Options& o, PretrainConfig& c) {
  o.group("device");
  declare_device_options(o, c.device);
  declare_precision_options(o, c.device);
  declare_rank_options(o, c.device);
  o.add("loader-threads", c.loader_threads,
        "threads of each rank that read images and make views; 0: as many as --threads")
      .range(at_least(0))
      .may_change_on_resume()
      .choice<Recompute>("recompute", c.recompute,
                         {{"none", Recompute::none}, {"blocks", Recompute::blocks}},
                         "activations to compute again in the backward pass instead of keeping "
                         "them: less memory, more time, the same result. blocks: those within "
                         "residual blocks")
      .may_change_on_resume();
}

void declare_run(Options& o, PretrainConfig& c) {
  o.group("run")
      .add("run-dir", c.run_dir,
           "directory of this run: metrics, checkpoints, state, report; starting again with the "
           "same directory resumes the run")
      .may_change_on_resume()
      .add("seed", c.seed, "seed of the initial weights, the order of samples and the views")
      .add("log-every", c.log_every, "steps between two rows of metrics.jsonl and lines of the log")
      .range(at_least(1))
      .may_change_on_resume()
      .add("checkpoint-every-epochs", c.checkpoint_every_epochs,
           "epochs between checkpoints; 0: not by epochs")
      .range(at_least(0))
      .may_change_on_resume()
      .add("checkpoint-every-minutes", c.checkpoint_every_minutes,
           "minutes between checkpoints; 0: not by time")
      .range(at_least(0))
      .may_change_on_resume()
      .add("checkpoint-steps", c.checkpoint_steps,
           "steps with a checkpoint of their own, which --keep never deletes, such as 0,5,10; 0: "
           "before the first update")
      .range(at_least(0))
      .may_change_on_resume()
      .add("keep", c.keep, "how many of the newest checkpoints stay; older ones are deleted")
      .range(at_least(1))
      .may_change_on_resume()
      .add("resume", c.resume,
           "where to begin. auto: at the run directory's newest valid checkpoint, or from the "
           "start; none: from the start, in a directory without a run; FILE: at this checkpoint")
      .may_change_on_resume()
      .add("stop-before-minutes", c.stop_before_minutes,
           "write a checkpoint and stop this many minutes before the job's time limit, which "
           "SLURM_JOB_END_TIME names in seconds since 1970; unset: never")
      .range(at_least(0))
      .may_change_on_resume()
      .add("hash-every", c.hash_every,
           "steps between comparisons of the ranks' weights, which must be equal; 0: only before "
           "checkpoints")
      .range(at_least(0))
      .may_change_on_resume()
      .add("divergence-steps", c.divergence_steps,
           "end the run when the loss has been no better than guessing for this many steps after "
           "having been better; 0: never")
      .range(at_least(0))
      .may_change_on_resume()
      .flag("trace-ops", c.trace_ops,
            "print the minimum, maximum, mean and number of non-finite values of every "
            "operation's output in the first step")
      .may_change_on_resume();
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
  declare_data(options, config);
  declare_model(options, config);
  declare_objective(options, config);
  declare_schedule(options, config);
  declare_device(options, config);
  declare_run(options, config);
}

void read_stored_options(Options& options, const std::string& text, const std::string& origin) {
  options.parse_text(text, origin, renamed_values());
}

}  // namespace simclr
