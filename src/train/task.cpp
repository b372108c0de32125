#include "simclr/train/task.hpp"

#include <cmath>
#include <numbers>
#include <span>
#include <utility>

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

namespace {

/// The loss where all similarities are 0, and its formula.
LossLevels levels_without_skill(const ContrastiveLoss& loss, std::int64_t batch_size) {
  const std::int64_t views = 2 * batch_size;
  const auto negatives = static_cast<double>(loss.negative_count(views));
  const bool both = loss.negatives == Negatives::both;
  const bool sums_up = !loss.semi_hard && loss.weight == NegativeWeight::sum;
  const auto levels = [](double guessing, std::string text) {
    return LossLevels{.guessing = guessing, .guessing_text = std::move(text)};
  };
  switch (loss.kind) {
    case LossKind::supcon:
      return levels(std::log(static_cast<double>(views) - 1), "ln(2N - 1)");
    case LossKind::nt_xent:
      return levels(std::log(negatives + 1), both ? "ln(2N - 1)" : "ln N");
    case LossKind::dcl:
      return levels(std::log(negatives), both ? "ln(2N - 2)" : "ln(N - 1)");
    case LossKind::nt_logistic:
      if (!sums_up) return levels(2 * std::numbers::ln2, "2 ln 2");
      return levels((negatives + 1) * std::numbers::ln2, both ? "(2N - 1) ln 2" : "N ln 2");
    case LossKind::margin:
      if (!sums_up) return levels(loss.margin, "m");
      return levels(negatives * loss.margin, both ? "(2N - 2) m" : "(N - 1) m");
  }
  return {};
}

/// The least loss: the positive pair has cosine similarity 1, all other pairs have -1. Without
/// normalization, what similarities of any size allow; dcl, which has no lower bound then, counts
/// as perfect at 0.
double lowest_loss(const ContrastiveLoss& loss, bool normalize, std::int64_t batch_size) {
  const std::int64_t views = 2 * batch_size;
  const auto negatives = static_cast<double>(loss.negative_count(views));
  const double range = 2 / double{loss.temperature};
  if (!normalize || loss.kind == LossKind::margin) return 0;
  switch (loss.kind) {
    case LossKind::dcl:
      return std::log(negatives) - range;
    case LossKind::nt_logistic: {
      const double terms = loss.semi_hard ? 0 : loss.negative_weight(views) * negatives;
      return (1 + terms) * std::log1p(std::exp(-range / 2));
    }
    case LossKind::supcon:
      return std::log1p(static_cast<double>(views - 2) * std::exp(-range));
    default:
      return std::log1p(negatives * std::exp(-range));
  }
}

}  // namespace

Objective contrastive_objective(const ContrastiveLoss& loss, bool normalize,
                                std::int64_t batch_size, std::int64_t dimensions) {
  const double views = 2 * static_cast<double>(batch_size);
  std::optional<LossLevels> levels = levels_without_skill(loss, batch_size);
  levels->lowest = lowest_loss(loss, normalize, batch_size);
  if (!(levels->lowest < levels->guessing)) levels.reset();
  const int deviation = loss.sum_count();
  Objective objective{
      .metrics = {{"loss", "Loss", "loss", "", 0, views},
                  {"contrastive_top1", "Contrastive top-1", "top-1", "%", 1, views},
                  {"entropy", "Entropy", "", "nats", 2, views},
                  {"z_std", "Standard deviation of z/|z|", "", "", deviation, 1}},
      .levels = levels,
      .collapse = Collapse{
          .metric = 3,
          .at_most = kCollapsed / std::sqrt(static_cast<double>(dimensions)),
          .warning = "all embeddings are equal, or nearly so: the representation has collapsed, "
                     "or all images are the same; look at the images (simclr preview), lower "
                     "--learning-rate or lengthen --warmup-epochs"}};
  if (loss.semi_hard) {
    objective.metrics.push_back(
        {"semi_hard_share", "Views with a semi-hard negative", "", "%", 3, views});
  }
  return objective;
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

Objective distillation_objective(std::int64_t batch_size, std::int64_t classes, double temperature,
                                 double label_weight) {
  const auto images = static_cast<double>(batch_size);
  constexpr int kLabeled = 3;  // the element that counts images with a label
  const double guessing = std::log(static_cast<double>(classes));
  const double of_teacher = (1 - label_weight) * temperature * temperature;
  return {.metrics = {{"loss", "Loss", "loss", "", 0, images},
                      {"teacher_top1", "Agreement with the teacher", "as teacher", "%", 4, images},
                      {"top1", "Top-1 of labeled images", "top-1", "%", 1, 1, kLabeled}},
          .levels =
              LossLevels{.guessing = (of_teacher + label_weight) * guessing,
                         .lowest = 0,
                         .guessing_text = label_weight > 0 ? "((1-w) t^2 + w) ln K" : "t^2 ln K"}};
}

void add_probe(Objective& objective, int elements) {
  const int count = elements + 3;
  objective.metrics.push_back({"probe_loss", "Loss of the probe", "", "", elements, 1, count});
  objective.metrics.push_back(
      {"probe_top1", "Top-1 of the probe on training views", "probe", "%", elements + 1, 1, count});
}

}  // namespace simclr
