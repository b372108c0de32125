// Contrastive losses. nt-xent with both sides' negatives multiplies embeddings in 16 bits on tensor
// cores where the op allows it; all other losses multiply them in f32. Either way the similarity
// matrix exists a tile at a time.

#include <algorithm>
#include <limits>

#include "kernels/contrastive.hpp"
#include "kernels/kernels.hpp"
#include "launch.hpp"
#include "steps.hpp"

namespace simclr::cuda {

namespace {

/// Columns come to splits in units of this.
constexpr int kColumnUnit = 128;
constexpr int kLeastUnitsPerSplit = 2;
/// As many blocks as run at once on an H100 (132 multiprocessors, two or three blocks each), so far
/// as a split of the columns can make them. Not the device's own number: sums are to be the same
/// everywhere.
constexpr int kBackwardBlocks = 264;
constexpr int kForwardBlocks = 396;

template <class AnyOp>
Packing choose_packing(const AnyOp& op, const Context& context) {
  const int depth = packed_depth(context.layout(op.u_all).channels);
  const bool fits =
      depth > 0 && op.loss.is_plain() && op.loss.temperature >= kLeastFixedTemperature;
  return op.similarity == DType::f32 || !fits ? Packing{}
                                              : Packing{.dtype = op.similarity, .depth = depth};
}

template <class AnyOp>
SimilarityShape similarity_shape(const AnyOp& op, const Context& context, const Packing& packing,
                                 int blocks) {
  const Layout u = context.layout(op.u);
  const Layout u_all = context.layout(op.u_all);
  require(
      u.rows() % 2 == 0 && (op.rank + 1) * u.rows() <= u_all.rows() && u.channels == u_all.channels,
      "this rank's embeddings are a block of all embeddings, two views a sample");
  require(u_all.rows() <= std::numeric_limits<int>::max() / 2, "views are counted in 32 bits");
  require(op.loss.is_plain() || u_all.rows() < 1 << 24, "numbers of views are exact in f32");
  require(op.loss.kind != LossKind::dcl || op.loss.negative_count(u_all.rows()) > 0,
          "dcl needs negatives");
  require(op.loss.kind != LossKind::supcon || op.labels_all.has_value(), "supcon needs labels");
  SimilarityShape shape{.rows = static_cast<int>(u.rows()),
                        .columns = static_cast<int>(u_all.rows()),
                        .first_row = static_cast<int>(op.rank * u.rows()),
                        .stride = static_cast<int>(u.stride)};
  const int rows_of_block = packing.depth > 0 ? rows_per_block(packing.depth) : kFloatRowsPerBlock;
  const int units = ceil_div(shape.columns, kColumnUnit);
  const int wanted = std::max(1, blocks / ceil_div(shape.rows, rows_of_block));
  const int units_per_split = std::max(kLeastUnitsPerSplit, ceil_div(units, wanted));
  shape.splits = ceil_div(units, units_per_split);
  shape.columns_per_split = units_per_split * kColumnUnit;
  return shape;
}

/// Hands out pieces of the workspace, one after the other, null for nothing; with null, counts
/// them.
class Pieces {
 public:
  explicit Pieces(std::byte* begin) : begin_(begin) {}
  template <class T>
  T* take(std::int64_t count) {
    constexpr std::size_t kAlignment = 256;
    T* piece = begin_ == nullptr || count == 0 ? nullptr : reinterpret_cast<T*>(begin_ + taken_);
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    taken_ += ceil_div(bytes, kAlignment) * kAlignment;
    return piece;
  }
  [[nodiscard]] std::size_t taken() const { return taken_; }

 private:
  std::byte* begin_;
  std::size_t taken_ = 0;
};

std::byte* take_packed(const SimilarityShape& shape, const Packing& packing, Pieces& pieces) {
  return pieces.take<std::byte>(packed_rows(shape) * packing.depth *
                                static_cast<std::int64_t>(size_in_bytes(packing.dtype)));
}

std::int32_t* take_ids(const SimilarityShape& shape, const ContrastiveLoss& loss, Pieces& pieces) {
  return pieces.take<std::int32_t>(loss.kind == LossKind::supcon ? shape.columns : 0);
}
float* take_positives(const SimilarityShape& shape, const ContrastiveLoss& loss, Pieces& pieces) {
  return pieces.take<float>(loss.is_softmax() ? 0 : shape.rows);
}

struct ForwardScratch {
  std::byte* packed = nullptr;
  std::int32_t* ids = nullptr;
  float* positives = nullptr;
  RowPartial* partials = nullptr;
  double* terms = nullptr;
};
ForwardScratch forward_scratch(const SimilarityShape& shape, const ContrastiveLoss& loss,
                               const Packing& packing, Pieces& pieces) {
  return {.packed = take_packed(shape, packing, pieces),
          .ids = take_ids(shape, loss, pieces),
          .positives = take_positives(shape, loss, pieces),
          .partials = pieces.take<RowPartial>(std::int64_t{shape.rows} * shape.splits),
          .terms = pieces.take<double>(std::int64_t{term_blocks(shape)} * loss.sum_count())};
}

struct BackwardScratch {
  std::byte* packed = nullptr;
  float* factors = nullptr;
  std::int32_t* ids = nullptr;
  float* positives = nullptr;
  float* other_parts = nullptr;
};
BackwardScratch backward_scratch(const SimilarityShape& shape, const ContrastiveLoss& loss,
                                 const Packing& packing, Pieces& pieces) {
  const int other_parts = loss.semi_hard ? 0 : shape.splits - 1;
  return {.packed = take_packed(shape, packing, pieces),
          .factors = pieces.take<float>(packing.depth > 0 ? packed_rows(shape) : 0),
          .ids = take_ids(shape, loss, pieces),
          .positives = take_positives(shape, loss, pieces),
          .other_parts = pieces.take<float>(std::int64_t{other_parts} * shape.rows * shape.stride)};
}

template <class AnyOp>
ContrastOperands contrast_operands(const AnyOp& op, const Context& context) {
  return {.u = context.values<float>(op.u),
          .u_all = context.values<float>(op.u_all),
          .loss = op.loss,
          .inverse_temperature = static_cast<float>(op.loss.inverse_temperature())};
}

/// Fills in what the kernels in f32 find of views by themselves, where there is a place for it.
void find_views(const SimilarityShape& shape, const std::int32_t* labels, std::int32_t* ids,
                float* positives, ContrastOperands& operands, cudaStream_t stream) {
  if (ids != nullptr) positive_ids(shape, labels, ids, stream);
  if (positives != nullptr) partner_similarities(shape, operands.u, positives, stream);
  operands.ids = ids;
  operands.positives = positives;
}

}  // namespace

Prepared prepare(const ContrastiveForward& op, const Context& context) {
  const Packing packing = choose_packing(op, context);
  const SimilarityShape shape = similarity_shape(op, context, packing, kForwardBlocks);
  Pieces counter(nullptr);
  forward_scratch(shape, op.loss, packing, counter);
  return make_step(
      counter.taken(),
      [=, given = contrast_operands(op, context),
       labels = context.values<std::int32_t>(op.labels_all),
       statistic = context.values<float>(op.statistic), second = context.values<float>(op.second),
       sums = context.values<double>(op.sums), stream = context.stream()](Workspace workspace) {
        Pieces pieces(workspace.data());
        ContrastOperands operands = given;
        const ContrastiveLoss& loss = operands.loss;
        const ForwardScratch scratch = forward_scratch(shape, loss, packing, pieces);
        const bool packs = packing.depth > 0;
        if (packs) {
          pack_embeddings(shape, operands.u_all, packing, scratch.packed, nullptr,
                          operands.inverse_temperature, nullptr, stream);
          similarity_softmax(shape, scratch.packed, packing, operands.inverse_temperature,
                             scratch.partials, stream);
        } else {
          find_views(shape, labels, scratch.ids, scratch.positives, operands, stream);
          similarity_sums(shape, operands, scratch.partials, stream);
        }
        finish_rows(shape, loss, scratch.partials, packs, statistic, second, scratch.terms, stream);
        sum_terms(scratch.terms, term_blocks(shape), loss.sum_count(), sums, stream);
      });
}

Prepared prepare(const ContrastiveBackward& op, const Context& context) {
  const Packing packing = choose_packing(op, context);
  const SimilarityShape shape = similarity_shape(op, context, packing, kBackwardBlocks);
  Pieces counter(nullptr);
  backward_scratch(shape, op.loss, packing, counter);
  const double factor = slope(op.loss) / shape.columns;
  ContrastOperands given = contrast_operands(op, context);
  given.of = {.statistic = context.values<float>(op.statistic_all),
              .second = context.values<float>(op.second_all)};
  return make_step(counter.taken(), [=, labels = context.values<std::int32_t>(op.labels_all),
                                     du = context.values<float>(op.du),
                                     control = context.values<float>(op.control),
                                     stream = context.stream()](Workspace workspace) {
    Pieces pieces(workspace.data());
    ContrastOperands operands = given;
    const BackwardScratch scratch = backward_scratch(shape, operands.loss, packing, pieces);
    const GradientParts parts{.du = du, .others = scratch.other_parts};
    if (packing.depth > 0) {
      pack_embeddings(shape, operands.u_all, packing, scratch.packed, operands.of.statistic,
                      operands.inverse_temperature, scratch.factors, stream);
      similarity_gradient(shape, scratch.packed, scratch.factors, packing,
                          operands.inverse_temperature, parts, stream);
      sum_gradient_parts(shape, parts, factor / kWeightScale, control, stream);
      return;
    }
    find_views(shape, labels, scratch.ids, scratch.positives, operands, stream);
    if (operands.loss.semi_hard) {
      semi_hard_gradient(shape, operands, factor, control, du, stream);
    } else {
      similarity_gradient(shape, operands, parts, stream);
      sum_gradient_parts(shape, parts, factor, control, stream);
    }
  });
}

}  // namespace simclr::cuda
