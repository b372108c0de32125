#pragma once
// Evaluation images of a whole data set, in order, spread over ranks in contiguous parts.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "simclr/data/loader.hpp"

namespace simclr {

struct EvaluationLoaderConfig {
  int image_size = 224;
  std::optional<std::array<float, 3>> mean, std;  ///< as the encoder was trained
  DType image_type = DType::f32;                  ///< f32, bf16 or f16
  std::int64_t batch_size = 64;                   ///< rows of a batch on this rank
  int rank = 0;
  int world_size = 1;
  int threads = 1;
};

struct EvaluationBatch {
  std::int64_t first_sample = 0;     ///< global index of row 0
  std::int64_t count = 0;            ///< valid rows; the rest are zeros (0 on a rank that is done)
  std::vector<std::int32_t> labels;  ///< count, or empty when the set is unlabelled
  HostBuffer images;                 ///< (batch_size, S, S, 3)
};

/// Rank r of P visits samples [N*r/P, N*(r+1)/P). Every rank yields the same number of batches, so
/// that programs with collectives stay in step. Errors of its threads are rethrown by next(). As
/// for TrainingLoader, ranks that fetch together load together.
class EvaluationLoader {
 public:
  EvaluationLoader(SampleStore& store, const EvaluationLoaderConfig& config);
  EvaluationLoader(const EvaluationLoader&) = delete;
  EvaluationLoader& operator=(const EvaluationLoader&) = delete;
  ~EvaluationLoader();

  [[nodiscard]] std::int64_t begin_sample() const;
  [[nodiscard]] std::int64_t batches() const;
  /// The next batch, valid until the following call; null after the last.
  const EvaluationBatch* next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace simclr
