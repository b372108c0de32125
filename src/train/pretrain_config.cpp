#include "simclr/train/pretrain_config.hpp"

namespace simclr {

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
  options
      .choice<LossKind>("loss", loss, {{"nt-xent", LossKind::nt_xent}},
                        "contrastive loss. nt-xent: the cross-entropy of finding the other view "
                        "of the same image in the batch")
      .add("temperature", temperature, "divides the cosine similarities in the loss")
      .range(above(0));
  options.group("augmentation");
  declare_augmentation(options, *this);
  declare_optimizer_options(options, *this);
  declare_training_device_options(options, *this);
  declare_recompute(options, *this);
  declare_run_options(options, *this);
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
  spec.temperature = static_cast<float>(temperature);
  spec.activations = activation_type(device.precision);
  spec.recompute_blocks = recompute == Recompute::blocks;
  spec.rank = rank;
  spec.world_size = world_size;
  return spec;
}

Objective PretrainConfig::objective() const { return nt_xent_objective(batch_size, temperature); }

Task PretrainConfig::task(int rank, int world_size) const {
  const PretrainingSpec spec = program_spec(rank, world_size);
  return {.program = record_pretraining(spec),
          .objective = objective(),
          .inputs = {views_input()},
          .optimizer = spec.optimizer,
          .ranks_per_bn_group = spec.batch_norm.ranks_per_group,
          .advice = "lower --learning-rate, lengthen --warmup-epochs or check the data"};
}

}  // namespace simclr
