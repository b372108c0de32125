#include "simclr/train/task.hpp"

#include <cmath>
#include <span>

namespace simclr {

namespace {

/// Embeddings count as equal where z_std is at most this part of 1/sqrt(D), its value for unit
/// vectors that point everywhere: similarities of different images are then 0.999 or more on
/// average. Encoders that were just made stay far above it, also without a projection head.
constexpr double kCollapsed = 0.03;

}  // namespace

Input views_input() {
  return {"views", [](const ViewBatch& batch) { return batch.views.span(); }};
}

Input labels_input() {
  return {"labels", [](const ViewBatch& batch) {
            return const_buffer_span(std::span<const std::int32_t>(batch.labels));
          }};
}

Objective nt_xent_objective(std::int64_t batch_size, double temperature, std::int64_t dimensions) {
  const double views = 2 * static_cast<double>(batch_size);
  const LossLevels levels{
      .guessing = std::log(views - 1),
      // The least loss: the positive pair has cosine similarity 1, all other pairs have -1.
      .lowest = std::log1p((views - 2) * std::exp(-2 / temperature)),
      .guessing_text = "ln(2N - 1)"};
  return {
      .metrics = {{"loss", "Loss", "loss", "", 0, views},
                  {"contrastive_top1", "Contrastive top-1", "top-1", "%", 1, views},
                  {"entropy", "Entropy", "", "nats", 2, views},
                  {"z_std", "Standard deviation of z/|z|", "", "", 3, 1}},
      .levels = levels,
      .collapse = Collapse{
          .metric = 3,
          .at_most = kCollapsed / std::sqrt(static_cast<double>(dimensions)),
          .warning = "all embeddings are equal, or nearly so: the representation has collapsed, "
                     "or all images are the same; look at the images (simclr preview), lower "
                     "--learning-rate or lengthen --warmup-epochs"}};
}

Objective cross_entropy_objective(std::int64_t batch_size, std::int64_t classes) {
  const auto images = static_cast<double>(batch_size);
  const LossLevels levels{
      .guessing = std::log(static_cast<double>(classes)), .lowest = 0, .guessing_text = "ln K"};
  return {.metrics = {{"loss", "Loss", "loss", "", 0, images},
                      {"top1", "Top-1", "top-1", "%", 1, images},
                      {"top5", "Top-5", "", "%", 2, images}},
          .levels = levels};
}

void add_probe(Objective& objective, int elements) {
  const int count = elements + 3;
  objective.metrics.push_back({"probe_loss", "Loss of the probe", "", "", elements, 1, count});
  objective.metrics.push_back(
      {"probe_top1", "Top-1 of the probe on training views", "probe", "%", elements + 1, 1, count});
}

}  // namespace simclr
