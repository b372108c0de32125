#include "similarity.hpp"

#include <algorithm>
#include <cstddef>

#include "simclr/core/check.hpp"
#include "simclr/program/recorder.hpp"

namespace simclr {
namespace {

Program record_product(std::int64_t queries, std::int64_t bank, std::int64_t channels) {
  Recorder recorder;
  recorder.set_gradients(false);
  const TensorId x = recorder.named("queries", {queries, channels}, DType::f32, Storage::input);
  const TensorId w = recorder.parameter("bank", {bank, channels}, {}, false);
  const TensorId y = recorder.named("similarities", {queries, bank}, DType::f32, Storage::output);
  recorder.emit(MatMul{x, w, std::nullopt, y});
  return recorder.finish();
}

std::size_t elements(std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(rows * columns);
}

void copy_and_clear_rest(std::span<const float> from, std::vector<float>& to) {
  require(from.size() <= to.size(), "no more rows than the block has");
  const auto rest = std::copy(from.begin(), from.end(), to.begin());
  std::fill(rest, to.end(), 0.0F);
}

}  // namespace

BlockSimilarity::BlockSimilarity(std::int64_t queries, std::int64_t bank, std::int64_t channels,
                                 Backend& backend)
    : queries_(queries),
      bank_(bank),
      executor_(record_product(queries, bank, channels), backend, {}),
      // The one parameter starts its flat buffer, which may end in padding.
      bank_rows_(static_cast<std::size_t>(executor_.program().parameter_elements)),
      query_rows_(elements(queries, channels)),
      similarities_(elements(queries, bank)) {}

void BlockSimilarity::set_bank(std::span<const float> rows) {
  copy_and_clear_rest(rows, bank_rows_);
  executor_.set_flat(Storage::parameters, bank_rows_);
}

std::span<const float> BlockSimilarity::compare(std::span<const float> rows) {
  copy_and_clear_rest(rows, query_rows_);
  const Program& program = executor_.program();
  executor_.upload(program.at("queries"), const_buffer_span(std::span<const float>(query_rows_)));
  executor_.run_forward();
  executor_.download(program.at("similarities"), buffer_span(std::span(similarities_)));
  return similarities_;
}

}  // namespace simclr
