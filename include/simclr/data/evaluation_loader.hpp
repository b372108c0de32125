#pragma once
// Loads the evaluation images of a data set in order; each rank loads one contiguous part.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "simclr/data/loader.hpp"

namespace simclr {

struct EvaluationLoaderConfig {
  int image_size = 224;
  std::optional<std::array<float, 3>> mean, std;  ///< those of the encoder's training
  DType image_type = DType::f32;                  ///< f32, bf16 or f16
  std::int64_t batch_size = 64;                   ///< rows per batch on this rank
  int rank = 0;
  int world_size = 1;
  int threads = 1;
};

struct EvaluationBatch {
  std::int64_t first_sample = 0;     ///< global index of row 0
  std::int64_t count = 0;            ///< valid rows, 0 when the part is done; the rest are zeros
  std::vector<std::int32_t> labels;  ///< count, or empty when the set has no labels
  HostBuffer images;                 ///< (batch_size, S, S, 3)
};

/// Rank r of P loads samples [N*r/P, N*(r+1)/P). Every rank yields the same number of batches, so
/// that programs with collectives stay in step. next() rethrows errors of the loader's threads. As
/// with TrainingLoader, all ranks of the store's group must use their loaders together.
class EvaluationLoader {
 public:
  EvaluationLoader(SampleStore& store, const EvaluationLoaderConfig& config);
  EvaluationLoader(const EvaluationLoader&) = delete;
  EvaluationLoader& operator=(const EvaluationLoader&) = delete;
  ~EvaluationLoader();

  [[nodiscard]] std::int64_t begin_sample() const;
  [[nodiscard]] std::int64_t batches() const;
  /// Returns the next batch, valid until the following call; null after the last.
  const EvaluationBatch* next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
