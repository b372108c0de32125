#pragma once

#include "simclr/backend/executor.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/eval/features.hpp"

namespace simclr {

/// Classifies all images of the loader by a program of record_classifier() whose layers before the
/// classifier are frozen. The result is that of all ranks. Collective.
Accuracy measure_classifier(Executor& executor, EvaluationLoader& loader);

}  // namespace simclr
