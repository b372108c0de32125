#pragma once
// Contrastive losses go over tiles of the similarity matrix, which never exists as a whole:
// blocks own rows; where a rank has too few rows to fill a device, the columns are split among
// several blocks as well, whose partial results are combined in a fixed order.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "../../contrastive_row.hpp"
#include "../layout.hpp"

namespace simclr::cuda {

/// Rows are this rank's views, columns all views.
struct SimilarityShape {
  int rows = 0;
  int columns = 0;
  int first_row = 0;          ///< this rank's first view among all
  int stride = 0;             ///< stored elements of an embedding in f32; a multiple of 8
  int splits = 1;             ///< of the columns
  int columns_per_split = 0;  ///< a multiple of 128; the last split may have fewer
};

/// Softmax over one split's columns k != i for row i. x = s/T is taken relative to a reference:
/// 1/T (fixed maximum) or largest/T. `more` is what the loss needs beside it: largest, sum and
/// weighted of the negatives' softmax, sum and count, or similarity and column.
struct alignas(16) RowPartial {
  float largest = 0;   ///< similarity; -infinity in an empty split; unused with a fixed maximum
  float sum = 0;       ///< of exp(x - reference)
  float weighted = 0;  ///< sum of exp(x - reference) * (x - reference)
  float partner = 0;   ///< the partner's similarity; -infinity where another split has it
  float rival = 0;     ///< largest similarity beside the partner's; -infinity if there is none
  float more[3] = {};
};

/// Depth that embeddings of `depth` dimensions are padded to in 16 bits: 64, 128 or 256; 0: too
/// wide for the tensor-core kernels.
int packed_depth(std::int64_t depth);
/// Rows that a block owns.
int rows_per_block(int packed_depth);
inline constexpr int kFloatRowsPerBlock = 128;
/// Rows of the packed embeddings: all views and zeros, so that no tile ends outside.
inline std::int64_t packed_rows(const SimilarityShape& shape) {
  return (std::int64_t{shape.columns} + 255) / 128 * 128;
}

/// The type (bf16 or f16) and depth that embeddings are packed to; f32 and 0: they are not.
struct Packing {
  DType dtype = DType::f32;
  int depth = 0;
};
/// packed (packed_rows, depth) = u_all in the packing's type, padded by zeros. With `lse_all` also
/// factors (packed_rows) = kWeightScale * exp(1/T - lse_all).
void pack_embeddings(const SimilarityShape& shape, const float* u_all, const Packing& packing,
                     std::byte* packed, const float* lse_all, float inverse_temperature,
                     float* factors, cudaStream_t stream);
/// Weights of the backward pass are at most 2; so scaled, those that matter are normal f16 numbers.
inline constexpr float kWeightScale = 1024;

/// partials (splits, rows). Unit vectors (fixed maximum 1/T), T >= kLeastFixedTemperature.
void similarity_softmax(const SimilarityShape& shape, const std::byte* packed,
                        const Packing& packing, float inverse_temperature, RowPartial* partials,
                        cudaStream_t stream);
inline constexpr float kLeastFixedTemperature = 0.025F;

/// What kernels in f32 read.
struct ContrastOperands {
  const float *u = nullptr, *u_all = nullptr;
  const std::int32_t* ids = nullptr;  ///< supcon: of positives, one a view
  const float* positives = nullptr;   ///< of the rows' partners; losses without softmax only
  ContrastStatistics of;              ///< of all views; backward only
  ContrastiveLoss loss;
  float inverse_temperature = 1;
};
/// positives (rows), the very sums that tiles have in the partners' places.
void partner_similarities(const SimilarityShape& shape, const float* u, float* positives,
                          cudaStream_t stream);
/// ids (columns): equal for two views iff one is a positive of the other. `labels` of all samples,
/// rank after rank; -1: none.
void positive_ids(const SimilarityShape& shape, const std::int32_t* labels, std::int32_t* ids,
                  cudaStream_t stream);
/// partials (splits, rows) in f32 with an online maximum: embeddings of any length, any loss.
void similarity_sums(const SimilarityShape& shape, const ContrastOperands& operands,
                     RowPartial* partials, cudaStream_t stream);

/// statistic and second (rows), or null; terms (term_blocks, loss.sum_count()) f64: the sums over
/// blocks of rows.
void finish_rows(const SimilarityShape& shape, const ContrastiveLoss& loss,
                 const RowPartial* partials, bool fixed_maximum, float* statistic, float* second,
                 double* terms, cudaStream_t stream);
int term_blocks(const SimilarityShape& shape);

/// Where the gradient's parts go: split 0 to du (rows, stride), the others to (splits - 1, rows,
/// stride).
struct GradientParts {
  float* du = nullptr;
  float* others = nullptr;
};
/// Parts of kWeightScale * sum_j (P_ij + P_ji - 2 [j is i's partner]) u_j over j != i.
void similarity_gradient(const SimilarityShape& shape, const std::byte* packed,
                         const float* factors, const Packing& packing, float inverse_temperature,
                         const GradientParts& parts, cudaStream_t stream);
/// Parts of sum_j (G_ij + G_ji) u_j, but for the slope, in f32: any loss that is not semi-hard.
void similarity_gradient(const SimilarityShape& shape, const ContrastOperands& operands,
                         const GradientParts& parts, cudaStream_t stream);
/// du of a semi-hard form, with `factor` and control as in sum_gradient_parts().
void semi_hard_gradient(const SimilarityShape& shape, const ContrastOperands& operands,
                        double factor, const float* control, float* du, cudaStream_t stream);
/// du = factor * S * sum of the parts; S is control[3], or 1 without control.
void sum_gradient_parts(const SimilarityShape& shape, const GradientParts& parts, double factor,
                        const float* control, cudaStream_t stream);

}  // namespace simclr::cuda
