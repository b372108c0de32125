#pragma once
// The options of the contrastive loss, shared by `pretrain` and `bench loss`.

#include <cstdint>
#include <optional>
#include <string>

#include "simclr/core/options.hpp"
#include "simclr/program/contrastive.hpp"

namespace simclr {

enum class Switch : std::uint8_t { off, on };

/// Unset: not given. Some losses have no use for some options, and refuse them.
struct LossOptions {
  LossKind loss = LossKind::nt_xent;
  double temperature = 0.1;
  std::optional<Negatives> negatives;             ///< both
  std::optional<Switch> semi_hard;                ///< off
  std::optional<double> margin;                   ///< kDefaultMargin
  std::optional<NegativeWeight> negative_weight;  ///< mean
  Switch normalize = Switch::on;
};

/// m of the margin loss, among the paper's 0, 0.4, 0.8 and 1.6.
inline constexpr double kDefaultMargin = 0.8;

/// Declares --loss, --temperature and the options that change the loss.
void declare_loss(Options& options, LossOptions& loss);

/// "nt-xent", ...
std::string name_of(LossKind kind);

/// Gives options that are not set, and that the loss has a use for, the values that they then have.
void complete_loss(LossOptions& loss);

/// Refuses options that the loss has no use for, and semi-hard negatives with margin 0.
void validate_loss(const LossOptions& loss);

/// The loss of validated options.
ContrastiveLoss contrastive_loss(LossOptions options);

}  // namespace simclr
