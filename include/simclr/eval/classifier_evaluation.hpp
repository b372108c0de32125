#pragma once
// Accuracy of a model that was trained with labels.

#include <functional>

#include "simclr/comm/communicator.hpp"
#include "simclr/train/classifier_config.hpp"

namespace simclr {

/// Measures the newest checkpoint of a run of `finetune` or `supervised` on the labeled images of
/// its --eval-data, as they are, with running statistics, in fp32. Logs the result and writes
/// RUN/eval/COMMAND-step-STEP.json, and the predictions with --predictions. `config` must have been
/// prepared. Asks `goes_on` before every batch, on all ranks together; returns false, with nothing
/// written, if that said no. Collective.
bool evaluate_run(ClassifierConfig& config, const std::function<bool()>& goes_on,
                  Communicator& world);

}  // namespace simclr
