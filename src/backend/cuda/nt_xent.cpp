// NT-Xent. Embeddings enter tensor cores in 16 bits where the op allows it, and are multiplied in
// f32 otherwise. Either way the similarity matrix exists a tile at a time.

#include <algorithm>
#include <limits>

#include "kernels/kernels.hpp"
#include "kernels/nt_xent.hpp"
#include "launch.hpp"
#include "steps.hpp"

namespace simclr::cuda {

namespace {

constexpr int kTerms = 3;
/// Columns come to splits in units of this.
constexpr int kColumnUnit = 128;
constexpr int kLeastUnitsPerSplit = 2;
/// As many blocks as run at once on an H100 (132 multiprocessors, two or three blocks each), so far
/// as a split of the columns can make them. Not the device's own number: sums are to be the same
/// everywhere.
constexpr int kBackwardBlocks = 264;
constexpr int kForwardBlocks = 396;

void require_plain(const ContrastiveLoss& loss) {
  if (loss.is_plain()) return;
  refuse(
      "option --loss: a GPU computes nt-xent with --negatives both only; add --device cpu for "
      "other losses");
}

template <class AnyOp>
Packing choose_packing(const AnyOp& op, const Context& context) {
  const int depth = packed_depth(context.layout(op.u_all).channels);
  const bool fits = depth > 0 && op.loss.temperature >= kLeastFixedTemperature;
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

/// Hands out pieces of the workspace, one after the other; with null, counts them.
class Pieces {
 public:
  explicit Pieces(std::byte* begin) : begin_(begin) {}
  template <class T>
  T* take(std::int64_t count) {
    constexpr std::size_t kAlignment = 256;
    T* piece = begin_ == nullptr ? nullptr : reinterpret_cast<T*>(begin_ + taken_);
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

struct ForwardScratch {
  std::byte* packed = nullptr;
  RowPartial* partials = nullptr;
  double* terms = nullptr;
};
ForwardScratch forward_scratch(const SimilarityShape& shape, const Packing& packing,
                               Pieces& pieces) {
  return {.packed = take_packed(shape, packing, pieces),
          .partials = pieces.take<RowPartial>(std::int64_t{shape.rows} * shape.splits),
          .terms = pieces.take<double>(std::int64_t{term_blocks(shape)} * kTerms)};
}

struct BackwardScratch {
  std::byte* packed = nullptr;
  float* factors = nullptr;
  float* other_parts = nullptr;
};
BackwardScratch backward_scratch(const SimilarityShape& shape, const Packing& packing,
                                 Pieces& pieces) {
  return {.packed = take_packed(shape, packing, pieces),
          .factors = pieces.take<float>(packing.depth > 0 ? packed_rows(shape) : 0),
          .other_parts =
              pieces.take<float>(std::int64_t{shape.splits - 1} * shape.rows * shape.stride)};
}

}  // namespace

Prepared prepare(const ContrastiveForward& op, const Context& context) {
  require_plain(op.loss);
  const Packing packing = choose_packing(op, context);
  const SimilarityShape shape = similarity_shape(op, context, packing, kForwardBlocks);
  Pieces counter(nullptr);
  forward_scratch(shape, packing, counter);
  const double inverse_temperature = 1 / double{op.loss.temperature};
  return make_step(counter.taken(), [=, u = context.values<float>(op.u),
                                     u_all = context.values<float>(op.u_all),
                                     lse = context.values<float>(op.statistic),
                                     sums = context.values<double>(op.sums),
                                     stream = context.stream()](Workspace workspace) {
    Pieces pieces(workspace.data());
    const ForwardScratch scratch = forward_scratch(shape, packing, pieces);
    const auto inverse = static_cast<float>(inverse_temperature);
    const bool packs = packing.depth > 0;
    if (packs) {
      pack_embeddings(shape, u_all, packing, scratch.packed, nullptr, inverse, nullptr, stream);
      similarity_softmax(shape, scratch.packed, packing, inverse, scratch.partials, stream);
    } else {
      similarity_softmax(shape, u, u_all, inverse, scratch.partials, stream);
    }
    finish_rows(shape, scratch.partials, packs, inverse_temperature, lse, scratch.terms, stream);
    sum_terms(scratch.terms, term_blocks(shape), kTerms, sums, stream);
  });
}

Prepared prepare(const ContrastiveBackward& op, const Context& context) {
  require_plain(op.loss);
  const Packing packing = choose_packing(op, context);
  const SimilarityShape shape = similarity_shape(op, context, packing, kBackwardBlocks);
  Pieces counter(nullptr);
  backward_scratch(shape, packing, counter);
  const double inverse_temperature = 1 / double{op.loss.temperature};
  const double factor = inverse_temperature / shape.columns;
  return make_step(counter.taken(),
                   [=, u = context.values<float>(op.u), u_all = context.values<float>(op.u_all),
                    lse_all = context.values<float>(op.statistic_all),
                    du = context.values<float>(op.du), control = context.values<float>(op.control),
                    stream = context.stream()](Workspace workspace) {
                     Pieces pieces(workspace.data());
                     const BackwardScratch scratch = backward_scratch(shape, packing, pieces);
                     const GradientParts parts{.du = du, .others = scratch.other_parts};
                     const auto inverse = static_cast<float>(inverse_temperature);
                     if (packing.depth > 0) {
                       pack_embeddings(shape, u_all, packing, scratch.packed, lse_all, inverse,
                                       scratch.factors, stream);
                       similarity_gradient(shape, scratch.packed, scratch.factors, packing, inverse,
                                           parts, stream);
                       sum_gradient_parts(shape, parts, factor / kWeightScale, control, stream);
                     } else {
                       similarity_gradient(shape, u, u_all, lse_all + shape.first_row, lse_all,
                                           inverse, parts, stream);
                       sum_gradient_parts(shape, parts, factor, control, stream);
                     }
                   });
}

}  // namespace simclr::cuda
