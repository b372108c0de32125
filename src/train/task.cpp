#include "simclr/train/task.hpp"

#include <algorithm>
#include <cmath>
#include <span>

namespace simclr {

namespace {

/// How far the entropy lies below ln(2N - 1), that of equal similarities, when similarities deviate
/// by 0.001, a hundredth of what random embeddings show: a deviation d lowers it by (d/T)^2 / 2.
double collapsed_entropy_gap(double temperature) {
  constexpr double kDeviation = 1e-3;
  constexpr double kRounding = 1e-6;
  const double deviation = kDeviation / temperature;
  return std::clamp(deviation * deviation / 2, kRounding, 1e-3);
}

}  // namespace

Input views_input() {
  return {"views", [](const ViewBatch& batch) { return batch.views.span(); }};
}

Input labels_input() {
  return {"labels", [](const ViewBatch& batch) {
            return const_buffer_span(std::span<const std::int32_t>(batch.labels));
          }};
}

Objective nt_xent_objective(std::int64_t batch_size, double temperature) {
  const double views = 2 * static_cast<double>(batch_size);
  const LossLevels levels{
      .guessing = std::log(views - 1),
      // The least loss: the positive pair has cosine similarity 1, all other pairs have -1.
      .lowest = std::log1p((views - 2) * std::exp(-2 / temperature)),
      .guessing_text = "ln(2N - 1)"};
  return {
      .metrics = {{"loss", "Loss", "loss", "", 0, views},
                  {"contrastive_top1", "Contrastive top-1", "top-1", "%", 1, views},
                  {"entropy", "Entropy", "", "nats", 2, views}},
      .levels = levels,
      .collapse = Collapse{
          .metric = 2,
          .at_least = levels.guessing - collapsed_entropy_gap(temperature),
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

}  // namespace simclr
