#pragma once
// Encoders, heads, and the recorded programs that pretraining and evaluation run.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "simclr/optim/optimizer.hpp"
#include "simclr/program/program.hpp"

namespace simclr {

// Limits of a model, for options and for the models that checkpoints describe. The narrowest
// encoder has 4 of the first layer's 64 channels: with 3, backends would take activations for
// images. The others are far beyond any real network, and refuse typing errors and damaged files
// before products overflow.
inline constexpr double kNarrowestEncoder = 4.0 / 64;
inline constexpr double kWidestEncoder = 256;
inline constexpr int kMostHeadLayers = 100;
inline constexpr int kMostHeadChannels = 1 << 20;

enum class Stem : std::uint8_t { imagenet, cifar };
/// Where the 3x3 windows of stride 2 of the ImageNet stem's max pooling begin. torchvision: one
/// pixel before the image. same: as TensorFlow's padding of that name; at the first pixel if the
/// extent is even, else as torchvision.
enum class PoolPadding : std::uint8_t { torchvision, same };

/// torchvision's ResNet v1.5: resnet18, 34, 50, 101, 152, 200. With selective kernels it is
/// SimCLRv2's (Chen et al. 2020, "Big self-supervised models", in the form of Google's code): the
/// 3x3 convolution of a bottleneck becomes two streams, which the mean of their sum weighs (Li et
/// al. 2019); and as in ResNet-D (He et al. 2019) three 3x3 convolutions stand in place of the
/// ImageNet stem's, and shortcuts average 2x2 pixels before their 1x1 convolution.
struct EncoderSpec {
  int depth = 50;
  double width = 1;  ///< multiplies every channel count (64, 128, ...); may be below 1
  Stem stem = Stem::imagenet;
  bool projection_shortcut_everywhere = false;  ///< 1x1 shortcut in the first block of every group
  PoolPadding pool_padding = PoolPadding::torchvision;
  /// Channels of the bottleneck that weighs the streams, as part of those of a stream, but at least
  /// kFewestSelectChannels; 0: no selective kernels. Needs bottleneck blocks and whole blocks of
  /// kStreamChannels, see selective_kernels_problem().
  double sk_ratio = 0;

  [[nodiscard]] std::string name() const;               ///< "resnet50"
  [[nodiscard]] std::int64_t feature_channels() const;  ///< C of h: 2048, or 512 for 18/34, x width
};
inline constexpr int kFewestSelectChannels = 32;
/// Why an encoder cannot have selective kernels, as the end of a sentence; empty if it can.
std::string selective_kernels_problem(const EncoderSpec& spec);
/// Names of all encoders: "resnet18", "resnet34", ...
std::vector<std::string> known_encoders();
/// Returns 50 for "resnet50". Refuses an unknown name and suggests the nearest known one.
int parse_encoder_depth(const std::string& name);

enum class HeadKind : std::uint8_t { none, linear, nonlinear };
struct HeadSpec {
  HeadKind kind = HeadKind::nonlinear;
  int layers = 2;
  std::int64_t hidden = 0;  ///< 0: the encoder's feature channels
  std::int64_t embedding = 128;

  /// 0 without a head, 1 for a linear one.
  [[nodiscard]] int layer_count() const;
};

/// The encoder's groups of blocks; its stem counts as group 0. Layers freeze from the stem on.
inline constexpr int kEncoderGroups = 4;
inline constexpr int kNothingFrozen = -1;

struct BatchNormSpec {
  int groups_per_rank = 1;  ///< BN groups inside this rank
  int ranks_per_group = 1;  ///< ranks that share one group; 1 if groups_per_rank > 1
  float epsilon = 1e-5F;
  float momentum = 0.1F;
};

/// How a training program ends; see finish_training().
struct TrainingUpdate {
  bool with_probe = false;  ///< "probe_sums" exists, and "control" has values for two optimizers
  OptimizerSpec optimizer;
  int world_size = 1;
  /// Averages the running statistics over all ranks in every step. Needed if batch norm's
  /// statistics are not those of all ranks: otherwise the ranks' states would differ.
  bool merge_running = false;
  std::size_t bucket_bytes = std::size_t{4} << 20;  ///< minimum size of a gradient all-reduce
};
/// Ends the recording of a program that trains. Reads the named tensors "sums" and "control"; names
/// "verdict" i32 (2) (see CheckFinite): if it is not 0, nothing was updated.
Program finish_training(Recorder& recorder, const TrainingUpdate& update);

struct PretrainingSpec {
  EncoderSpec encoder;
  HeadSpec head;
  BatchNormSpec batch_norm;
  OptimizerSpec optimizer;
  std::int64_t local_samples = 0;  ///< n, the samples of this rank; the program runs V = 2n views
  std::int64_t image_size = 224;
  ContrastiveLoss loss;
  bool normalize = true;           ///< the loss compares z/|z|; false: z itself
  DType activations = DType::f32;  ///< f32 or bf16
  bool recompute_blocks = false;
  std::int64_t probe_classes = 0;  ///< of a linear classifier on h that learns beside; 0: none
  int rank = 0;
  int world_size = 1;
  std::size_t bucket_bytes = std::size_t{4} << 20;
};

/// One training step. Named tensors: "views" (V,H,W,3) input in the type of the activations;
/// "control" f32 (4); "h" f32 (V,C); "z" f32 (V,D); "sums" f64
/// (loss.sum_count()), summed over all ranks (divide by 2N: loss, contrastive top-1, entropy, share
/// of views with a semi-hard negative); "z_std" f64 (1), the mean over dimensions of
/// the standard deviation of z/|z| over the views of all ranks; "verdict" of finish_training().
/// View v of local sample i is row v*n + i. With a probe or supcon also "labels" i32 (n) input, -1
/// for none; with a probe "probe_sums" f64 (4) of all ranks (cross-entropy, top-1 hits, top-5 hits,
/// labeled views); parameters "probe.weight" (K,C) and "probe.bias" (K); "control" f32 (8).
Program record_pretraining(const PretrainingSpec& spec);

/// The loss of record_pretraining() on images that are not trained on: forward only, with running
/// statistics, which it leaves. Named tensors: "views", with supcon "labels", "h", "z", "sums",
/// "z_std" as above.
Program record_held_out_loss(const PretrainingSpec& spec);

/// A layer whose output stands for an image. What lies behind it is not recorded.
struct FeatureLayer {
  /// 1 to 4: the stem and groups up to this one, and the mean over the pixels of their output.
  int groups = kEncoderGroups;
  int head_layers = 0;  ///< the head's first layers, which follow group 4
};

struct FeatureSpec {
  EncoderSpec encoder;
  HeadSpec head;
  FeatureLayer layer;      ///< h by default
  bool with_head = false;  ///< compute z, too; only with the layer h
  std::int64_t batch = 0;
  std::int64_t image_size = 224;
  DType activations = DType::f32;
};
/// Inference with running statistics. Named tensors: "views" (B,H,W,3) input in the type of the
/// activations, "features" f32 (B,C), the output of the layer, ["h" f32 (B,C), unless the layer
/// lies before it], ["z" f32 (B,D)].
Program record_features(const FeatureSpec& spec);

/// How the weights of a classifier begin, and which of its parameters weight decay and LARS's trust
/// ratio reach.
struct ClassifierInit {
  float stddev = 0;  ///< of the normal distribution of the weights; 0: all are 0
  bool regularized = true, bias_regularized = false;
};

/// A model that was trained with labels and now teaches another: its classifier reads the output of
/// the head's first layers.
struct TeacherSpec {
  EncoderSpec encoder;
  HeadSpec head;
  int head_layers = 0;
  float temperature = 1;   ///< of both softmaxes
  float label_weight = 0;  ///< w; the teacher has 1-w
};

struct ClassifierSpec {
  EncoderSpec encoder;
  HeadSpec head;
  int head_layers = 0;  ///< the classifier reads the output of the head's first layers; 0: h
  /// The stem (0) and groups up to this one are frozen: batch norm takes its running statistics and
  /// leaves them, parameters have no gradient. kEncoderGroups freezes all that lies before the
  /// classifier, the head included.
  int frozen_groups = kNothingFrozen;
  BatchNormSpec batch_norm;
  std::int64_t batch = 0;  ///< B, the images of this rank
  std::int64_t image_size = 224;
  DType activations = DType::f32;
  bool recompute_blocks = false;
  std::int64_t classes = 0;
  ClassifierInit init;
  std::optional<TeacherSpec> teacher;  ///< distillation, see SoftmaxCrossEntropy
  std::int64_t global_batch = 0;       ///< images over which gradients are averaged
  OptimizerSpec optimizer;
  int world_size = 1;
  std::size_t bucket_bytes = std::size_t{4} << 20;
};
/// One training step of a linear classifier on an encoder, with or without layers of the projection
/// head. Named tensors: "views" as above, "labels" i32 (B), "control", "logits" f32 (B,K), "sums"
/// f64 (4) summed over ranks (cross-entropy, top-1 hits, top-5 hits, samples), "verdict" of
/// finish_training(). Parameters: those of the encoder and head, and "classifier.weight" (K,C),
/// "classifier.bias" (K). If everything before the classifier is frozen, ops [0, backward_begin)
/// evaluate a batch. A teacher sees the same views in inference mode; its parameters stand behind
/// kTeacherPrefix, and "sums" f64 (5) also count the images on which both have the same best class.
Program record_classifier(const ClassifierSpec& spec);

/// The classifier alone, on features given by the host. Named tensors: "h" f32 (B,C) and "labels"
/// i32 (B), inputs; "logits" f32 (B,K); "sums" f64 (4) of this rank. The gradients are those of the
/// sum of the cross-entropies, not of their mean; there is no update. Parameters:
/// "classifier.weight" (K,C), "classifier.bias" (K).
Program record_linear_classifier(std::int64_t batch, std::int64_t channels, std::int64_t classes);

/// Draws a parameter from its InitialValue, as a pure function of seed and name (Philox streams):
/// the number of threads changes nothing.
std::vector<float> initial_values(const Program& program, const Parameter& parameter,
                                  std::uint64_t seed, int threads = 1);
/// The same for all of them, as the flat buffer holds them.
std::vector<float> initial_parameters(const Program& program, std::uint64_t seed);
std::vector<float> initial_running_statistics(const Program& program);

}  // namespace simclr
