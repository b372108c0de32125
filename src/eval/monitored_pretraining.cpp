#include "simclr/eval/monitored_pretraining.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <span>
#include <utility>

#include "simclr/backend/executor.hpp"
#include "simclr/core/check.hpp"
#include "simclr/core/random.hpp"
#include "simclr/eval/frozen_encoder.hpp"
#include "simclr/eval/knn.hpp"
#include "simclr/train/trainer.hpp"
#include "simclr/train/training_state.hpp"

namespace simclr {
namespace {

bool is_due(std::int64_t epoch, std::int64_t every) { return every > 0 && epoch % every == 0; }

/// Keeps only the bank's samples.
void choose(LabeledData& data, std::int64_t count) {
  if (count == data.labeled()) return;
  const std::vector<std::int64_t> positions = draw_bank(data.labeled(), count);
  const auto take = [&](std::vector<std::int64_t>& values) {
    std::vector<std::int64_t> taken;
    taken.reserve(positions.size());
    for (const std::int64_t at : positions) taken.push_back(values[static_cast<std::size_t>(at)]);
    values = std::move(taken);
  };
  take(data.samples);
  take(data.labels);
  data.as_stored = false;
}

/// The part of all ranks' rows that the trainer's probe classifies as they are labeled.
double probe_top1(const LabeledFeatures& part, Trainer& trainer, Communicator& world) {
  const Executor& training = trainer.executor();
  const auto& parameters = training.program().parameters;
  const auto values_of = [&](const std::string& name) {
    const auto found = std::ranges::find(parameters, name, &Parameter::name);
    const TensorInfo& info = training.program().info(found->value);
    std::vector<float> values(static_cast<std::size_t>(info.shape.elements()));
    training.read_flat(Storage::parameters, info.offset, values);
    return values;
  };
  const std::vector<float> weight = values_of("probe.weight");
  const std::vector<float> bias = values_of("probe.bias");
  const auto channels = static_cast<std::size_t>(part.channels);
  std::int64_t hits = 0;
#pragma omp parallel for schedule(static) reduction(+ : hits)
  for (std::int64_t row = 0; row < part.rows(); ++row) {
    const float* h = part.values.data() + static_cast<std::size_t>(row) * channels;
    std::size_t best = 0;
    float largest = 0;
    for (std::size_t k = 0; k < bias.size(); ++k) {
      float logit = bias[k];
      for (std::size_t c = 0; c < channels; ++c) logit += weight[k * channels + c] * h[c];
      if (k == 0 || logit > largest) {
        best = k;
        largest = logit;
      }
    }
    const std::int64_t label = part.labels[static_cast<std::size_t>(row)];
    hits += static_cast<std::int64_t>(best) == label ? 1 : 0;
  }
  return static_cast<double>(sum_over_ranks(world, hits)) /
         static_cast<double>(sum_over_ranks(world, part.rows()));
}

}  // namespace

std::vector<std::int64_t> draw_bank(std::int64_t labeled, std::int64_t count) {
  const auto rank_of = [](std::int64_t position) {
    const auto at = static_cast<std::uint64_t>(position);
    PhiloxStream stream(0, RandomPurpose::kMonitor, static_cast<std::uint32_t>(at),
                        static_cast<std::uint32_t>(at >> 32U));
    return std::pair(stream.next_bits(), position);
  };
  std::vector<std::int64_t> positions(static_cast<std::size_t>(labeled));
  std::iota(positions.begin(), positions.end(), std::int64_t{0});
  const auto middle = positions.begin() + static_cast<std::ptrdiff_t>(count);
  std::ranges::nth_element(positions, middle, {}, rank_of);
  positions.erase(middle, positions.end());
  std::ranges::sort(positions);
  return positions;
}

void MonitoredPretraining::prepare(const ShardSet& training, OpenWeights open,
                                   Communicator& world) {
  PretrainConfig::prepare(training, open, world);
  if (knn_every_epochs > 0) bank_ = open_labeled(data, "data", world);
  if (probe_every_epochs > 0 || knn_every_epochs > 0) prepare_queries(training.info(), world);
  if (knn_every_epochs > 0) choose_bank();
  if (eval_loss_every_epochs > 0) prepare_eval_loss(world);
}

void MonitoredPretraining::prepare_queries(const ShardSetInfo& training, Communicator& world) {
  queries_ = open_labeled(eval_data, "eval-data", world);
  match_classes(training, *queries_, "eval-data");
  eval_images = queries_->labeled();
}

void MonitoredPretraining::choose_bank() {
  const std::int64_t labeled = bank_->labeled();
  if (knn_bank.value_or(1) > labeled) {
    refuse("option --knn-bank: {} is more than the {} labeled images of {}", *knn_bank, labeled,
           data.string());
  }
  choose(*bank_, knn_bank.value_or(std::min(labeled, kDefaultKnnBank)));
}

void MonitoredPretraining::prepare_eval_loss(Communicator& world) {
  held_out_ = queries_ ? queries_->set : open_common(eval_data, "eval-data", world).set;
  const std::int64_t images = held_out_->info().samples;
  if (loss == LossKind::supcon && held_out_->info().labeled_samples == 0) {
    refuse("option --eval-loss-every-epochs: supcon needs labels, and {} has none",
           eval_data.string());
  }
  if (images < batch_size) {
    refuse(
        "option --eval-loss-every-epochs: the {} images of {} are fewer than a batch of {}; "
        "use a lower --batch-size or more images",
        images, eval_data.string(), batch_size);
  }
}

bool MonitoredPretraining::measures_after(std::int64_t epoch) const {
  return is_due(epoch, probe_every_epochs) || is_due(epoch, knn_every_epochs) ||
         is_due(epoch, eval_loss_every_epochs);
}

std::vector<Measurement> MonitoredPretraining::measure(std::int64_t epoch, Trainer& trainer,
                                                       Communicator& world) {
  std::vector<Measurement> measured;
  const bool probe_is_due = is_due(epoch, probe_every_epochs);
  const bool knn_is_due = is_due(epoch, knn_every_epochs);
  if (probe_is_due || knn_is_due) {
    const LabeledFeatures queries = features(*queries_, trainer, world);
    if (probe_is_due) measured.push_back({"probe_eval_top1", probe_top1(queries, trainer, world)});
    if (knn_is_due) measured.push_back({"knn_top1", knn_top1(queries, trainer, world)});
  }
  if (is_due(epoch, eval_loss_every_epochs)) {
    measured.push_back({"eval_loss", eval_loss(trainer, world)});
  }
  return measured;
}

LabeledFeatures MonitoredPretraining::features(const LabeledData& images, Trainer& trainer,
                                               Communicator& world) const {
  const EncoderInTraining source(trainer.executor(), model());
  const int threads = compute_threads(device, world);
  // Its own reader of the files: the store that trains is busy with the next batches.
  const auto store = only_labeled(
      open_sample_store(images.set, CacheMode::none, world, threads, kMonitorBatch), images);
  return extract_features(source, *store, {.batch_size = kMonitorBatch, .threads = threads},
                          trainer.backend(), world)
      .h;
}

double MonitoredPretraining::knn_top1(const LabeledFeatures& queries, Trainer& trainer,
                                      Communicator& world) const {
  const KnnConfig knn{.neighbors = std::min(KnnConfig{}.neighbors, bank_->labeled()),
                      .classes = bank_->info.classes};
  return knn_accuracy(features(*bank_, trainer, world), queries, knn, trainer.backend(), world)
      .top1;
}

double MonitoredPretraining::eval_loss(Trainer& trainer, Communicator& world) {
  const int ranks = world.size();
  const int threads = compute_threads(device, world);
  if (!lane_) lane_ = trainer.backend().make_communicator(world, Lane::compute);
  const PretrainingSpec spec = program_spec(world.rank(), ranks);
  Executor executor(record_held_out_loss(spec), trainer.backend(), {.world = lane_.get()});
  copy_parts(trainer.executor(), executor, {Part::encoder, Part::projection_head});
  const auto store =
      open_sample_store(*held_out_, CacheMode::none, world, threads, batch_size / ranks);
  const std::int64_t batches = store->info().samples / batch_size;
  TrainingLoader loader(*store, {.augmentation = augmentation(),
                                 .seed = seed,
                                 .batch_size = batch_size,
                                 .view_type = activation_type(device.precision),
                                 .rank = world.rank(),
                                 .world_size = ranks,
                                 .threads = loader_threads > 0 ? loader_threads : threads,
                                 .end_step = batches});
  const Program& program = executor.program();
  std::vector<double> sums(static_cast<std::size_t>(spec.loss.sum_count()));
  double total = 0;
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    const ViewBatch& images = loader.next();
    executor.upload(program.at("views"), views_input().values(images));
    if (loss == LossKind::supcon) {
      executor.upload(program.at("labels"), labels_input().values(images));
    }
    executor.run_forward();
    executor.download(program.at("sums"), buffer_span(std::span<double>(sums)));
    total += sums[0];
  }
  return total / static_cast<double>(2 * batch_size * batches);
}

}  // namespace simclr
