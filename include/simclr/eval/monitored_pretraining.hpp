#pragma once
// Pretraining that measures its model between epochs.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "simclr/data/labeled_data.hpp"
#include "simclr/eval/features.hpp"
#include "simclr/train/pretrain_config.hpp"

namespace simclr {

/// `pretrain` with its monitors. Both read their images from the files each time, with running
/// statistics, in the same order: what they measure depends on the weights only.
///
/// knn_top1 is what `knn` finds for a checkpoint of the same step, with the bank of --knn-bank: in
/// fp32, with k = 200 or the size of the bank. eval_loss is the mean loss of global batches of
/// --eval-data: the batches and views of a first epoch of training on them with this seed.
class MonitoredPretraining final : public PretrainConfig {
 public:
  void prepare(const ShardSet& training, OpenWeights open, Communicator& world) override;
  [[nodiscard]] bool measures_after(std::int64_t epoch) const override;
  std::vector<Measurement> measure(std::int64_t epoch, Trainer& trainer,
                                   Communicator& world) override;

 private:
  void prepare_queries(const ShardSetInfo& training, Communicator& world);
  void choose_bank();
  void prepare_eval_loss(Communicator& world);
  [[nodiscard]] LabeledFeatures features(const LabeledData& images, Trainer& trainer,
                                         Communicator& world) const;
  [[nodiscard]] double knn_top1(const LabeledFeatures& queries, Trainer& trainer,
                                Communicator& world) const;
  [[nodiscard]] double eval_loss(Trainer& trainer, Communicator& world);

  std::optional<LabeledData> bank_, queries_;
  std::optional<ShardSet> held_out_;
  std::unique_ptr<Communicator> lane_;  // of the held-out loss
};

/// The positions of `count` of `labeled` samples, in their order: the same for every run.
std::vector<std::int64_t> draw_bank(std::int64_t labeled, std::int64_t count);

}  // namespace simclr
