#include "simclr/train/loss_options.hpp"

#include "simclr/core/check.hpp"

namespace simclr {
namespace {

const Options::Choices<LossKind>& loss_names() {
  static const Options::Choices<LossKind> names{{"nt-xent", LossKind::nt_xent},
                                                {"dcl", LossKind::dcl},
                                                {"nt-logistic", LossKind::nt_logistic},
                                                {"margin", LossKind::margin},
                                                {"supcon", LossKind::supcon}};
  return names;
}

/// Below the first, the inverse of the temperature overflows in f32; above the second, similarities
/// divided by it are too close for f32.
constexpr double kLeastTemperature = 1e-37;
constexpr double kMostTemperature = 10'000;

/// Whether terms of a view and a negative are added up.
bool compares(const LossOptions& loss) {
  return loss.loss == LossKind::nt_logistic || loss.loss == LossKind::margin;
}

}  // namespace

std::string name_of(LossKind kind) {
  for (const auto& [name, value] : loss_names()) {
    if (value == kind) return name;
  }
  return {};
}

void declare_loss(Options& options, LossOptions& loss) {
  options
      .choice<LossKind>("loss", loss.loss, loss_names(),
                        "contrastive loss. nt-xent: the cross-entropy of finding the other view "
                        "of the same image in the batch; dcl: the same without that view in the "
                        "denominator; nt-logistic: logistic regression of which pairs are views "
                        "of one image; margin: the triplet loss; supcon: nt-xent whose positives "
                        "are all views of the same label. docs/losses.md has the formulas")
      .add("temperature", loss.temperature, "divides the cosine similarities in the loss")
      .range(at_least(kLeastTemperature).at_most(kMostTemperature))
      .choice<Negatives>("negatives", loss.negatives,
                         {{"both", Negatives::both}, {"one", Negatives::one}},
                         "views of other images that a view is compared with. both: both views "
                         "of each; one: only those that are the other view of their image; unset: "
                         "both. supcon has all")
      .choice<Switch>("semi-hard", loss.semi_hard, {{"off", Switch::off}, {"on", Switch::on}},
                      "of nt-logistic and margin: compare a view with one negative only, the "
                      "most similar of those less similar than the other view of its image; "
                      "unset: off")
      .add("margin", loss.margin,
           "of margin: how much more similar the other view of an image should be than views of "
           "other images; unset: 0.8")
      .range(at_least(0))
      .choice<NegativeWeight>("negative-weight", loss.negative_weight,
                              {{"mean", NegativeWeight::mean}, {"sum", NegativeWeight::sum}},
                              "of nt-logistic and margin: how the terms of all negatives are "
                              "added. mean: together they weigh as much as the positive; sum: "
                              "each does; unset: mean")
      .choice<Switch>("normalize", loss.normalize, {{"on", Switch::on}, {"off", Switch::off}},
                      "scale embeddings to length 1 before the loss compares them; off: "
                      "similarities are dot products, for which a temperature of 10 or more fits");
}

void complete_loss(LossOptions& loss) {
  const auto complete = [](auto& option, auto value) { option = option.value_or(value); };
  if (loss.loss != LossKind::supcon) complete(loss.negatives, Negatives::both);
  complete(loss.semi_hard, Switch::off);
  if (loss.loss == LossKind::margin) complete(loss.margin, kDefaultMargin);
  if (compares(loss) && loss.semi_hard == Switch::off) {
    complete(loss.negative_weight, NegativeWeight::mean);
  }
}

void validate_loss(const LossOptions& loss) {
  const std::string name = name_of(loss.loss);
  const bool is_semi_hard = loss.semi_hard == Switch::on;
  if (loss.negatives && loss.loss == LossKind::supcon) {
    refuse("option --negatives: {} has no use for it; leave it out", name);
  }
  if (is_semi_hard && !compares(loss)) {
    refuse("option --semi-hard: {} has no use for it; use --loss nt-logistic or margin", name);
  }
  if (loss.margin && loss.loss != LossKind::margin) {
    refuse("option --margin: {} has no use for it; use --loss margin", name);
  }
  if (loss.negative_weight && !compares(loss)) {
    refuse("option --negative-weight: {} has no use for it; use --loss nt-logistic or margin",
           name);
  }
  if (loss.negative_weight && is_semi_hard) {
    refuse(
        "options --negative-weight and --semi-hard: a semi-hard loss has a single negative; "
        "leave one out");
  }
  if (is_semi_hard && loss.margin.value_or(kDefaultMargin) == 0) {
    refuse(
        "options --margin and --semi-hard: with margin 0 no negative is semi-hard; use a "
        "margin above 0");
  }
}

ContrastiveLoss contrastive_loss(LossOptions options) {
  complete_loss(options);
  const ContrastiveLoss unused;  // has the values of options that the loss has no use for
  return {.kind = options.loss,
          .temperature = static_cast<float>(options.temperature),
          .negatives = options.negatives.value_or(unused.negatives),
          .semi_hard = options.semi_hard == Switch::on,
          .margin = static_cast<float>(options.margin.value_or(unused.margin)),
          .weight = options.negative_weight.value_or(unused.weight)};
}

}  // namespace simclr
