#pragma once
// How good features are, measured without labels. Every sum is in double precision, so that
// results on different numbers of ranks differ by rounding alone: by less than 1e-9 of themselves
// for the same features.

#include <cstdint>
#include <filesystem>
#include <memory>

#include "simclr/backend/backend.hpp"
#include "simclr/data/loader.hpp"
#include "simclr/eval/evaluation_job.hpp"
#include "simclr/eval/features.hpp"

namespace simclr {

// Below, u is a row of `features` divided by its Euclidean norm, d the number of channels, and N
// the number of rows of all ranks. Each rank passes its part. All functions are collective.

/// Mean over channels of the standard deviation of u (that of a population: the divisor is N).
/// Features spread over all directions have about 1/sqrt(d), collapsed ones 0.
double feature_std(const LabeledFeatures& features, Communicator& world);

/// ln of the mean over all pairs i < j of exp(-2 |u_i - u_j|^2): the lower, the more uniform (Wang
/// and Isola, ICML 2020). Needs two rows. Compares blocks of rows on the backend, in fp32; a rank
/// holds its part and one block of another's, and computes its share of the N^2 d / 2 products.
double uniformity(const LabeledFeatures& features, Backend& backend, Communicator& world);

/// Effective rank of the feature matrix (N,d), which is not centered (Garrido et al., RankMe, ICML
/// 2023): exp(-sum p ln p) with p = s / sum(s) + 1e-7 over its min(N,d) singular values s. These
/// are roots of the eigenvalues of the d x d matrix of products. From 1 to about min(N,d); 0 if all
/// features are 0.
double rank_me(const LabeledFeatures& features, Communicator& world);

struct AlignmentConfig {
  AugmentationConfig augmentation;  ///< of the training
  std::uint64_t seed = 0;
  std::int64_t batch_size = 64;  ///< samples that a rank encodes at a time, each in two views
  DType activations = DType::f32;
  int threads = 1;
};
/// Mean over the samples of |u - u'|^2 (Wang and Isola), where u and u' are the normalized
/// embeddings z of the two training views of epoch 0. The encoder runs in inference mode.
double alignment(const FrozenEncoder& encoder, std::unique_ptr<SampleStore> store,
                 const AlignmentConfig& config, Backend& backend, Communicator& world);

/// The command `quality`: measures a checkpoint on a data set and writes the result. `options`
/// stands in the result. Refuses like an EvaluationJob, and data of fewer than two samples. Returns
/// the file written; "" on other ranks than 0 and in a dry run.
std::filesystem::path evaluate_quality(const EvaluationConfig& config,
                                       const std::filesystem::path& data, const Options& options,
                                       Communicator& world);

}  // namespace simclr
